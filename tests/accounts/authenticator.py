"""Chromium's virtual authenticator, which keeps its passkeys as long as its page lives."""

from playwright.sync_api import Page, Route

OPTIONS = {
    "protocol": "ctap2",
    "ctap2Version": "ctap2_1",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Authenticator:
    def __init__(self, page: Page) -> None:
        self.session = page.context.new_cdp_session(page)
        self.session.send("WebAuthn.enable", {"enableUI": False})
        self.id = self.session.send("WebAuthn.addVirtualAuthenticator", {"options": OPTIONS})["authenticatorId"]

    def verify_user(self, verified: bool) -> None:
        self.session.send("WebAuthn.setUserVerified", {"authenticatorId": self.id, "isUserVerified": verified})

    def answer(self, at_once: bool) -> None:
        """Answer every request at once, or none. Where the browser offers passkeys, an answer is the choice of one."""
        asked = {"authenticatorId": self.id, "enabled": at_once}
        self.session.send("WebAuthn.setAutomaticPresenceSimulation", asked)

    def answer_to_the_button(self, page: Page) -> None:
        """Press the button of the log-in page and answer its request, not the offer in the e-mail field.

        The offer ends when the button is pressed; until then an answer to it would log in beside the button.
        """

        def begin(route: Route) -> None:
            self.answer(True)
            route.continue_()

        self.answer(False)
        page.route("**/passkeys/authentication/begin/", begin, times=1)
        page.locator("#passkey-verification-button").click()
