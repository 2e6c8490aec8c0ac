// Offers passkeys in the e-mail field of the log-in page, where the browser can. Without an offer nothing is said: the
// form and the button are there.
const { offer, complete } = document.currentScript.dataset;
const form = document.querySelector("input[autocomplete~=webauthn]").form;
const headers = { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
const OFFER_LASTS = 600_000; // milliseconds; the server keeps its challenge for longer
let pending = new AbortController();
let offeredAt = 0;

const chosen = async (signal) => {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable())) return null;
  const response = await fetch(offer, { method: "POST", headers, signal });
  if (response.status !== 200) return null; // 204: no offer now
  offeredAt = Date.now();
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await response.json());
  return navigator.credentials.get({ mediation: "conditional", publicKey, signal });
};

const logIn = async (credential) => {
  const next = form.elements.next.value;
  const response = await fetch(next ? `${complete}?${new URLSearchParams({ next })}` : complete, {
    method: "POST",
    headers: { ...headers, "Content-Type": "application/json" },
    body: JSON.stringify(credential),
  });
  const said = await response.json();
  if (response.ok) location.assign(new URL(said.redirect_url, location.origin));
  else document.getElementById("passkey-verification-status-message").textContent = said.detail;
  if (said.code === "invalid_state") offerPasskeys(); // the challenge was used or is too old: with a new one
};

const offerPasskeys = async () => {
  pending.abort();
  pending = new AbortController();
  let credential = null;
  try {
    credential = await chosen(pending.signal);
  } catch {
    return; // nobody chose one, or the button was used instead
  }
  if (credential) await logIn(credential);
};

if (window.PublicKeyCredential?.isConditionalMediationAvailable && PublicKeyCredential.parseRequestOptionsFromJSON) {
  window.addEventListener("pageshow", offerPasskeys);
  window.addEventListener("focus", () => {
    if (offeredAt && Date.now() - offeredAt > OFFER_LASTS) offerPasskeys();
  });
  // A late answer would bring the cookie of a visitor's session, in place of the one that the form has just opened.
  document.addEventListener("submit", () => pending.abort());
  // A browser has one request at a time, and the library's button makes its own.
  document.addEventListener("otp_webauthn.verification_start", () => pending.abort());
  document.addEventListener("otp_webauthn.verification_failed", offerPasskeys);
}
