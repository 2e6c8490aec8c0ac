"""The demo's organisations and people. The names are invented; example domains belong to nobody."""

from typing import NamedTuple

PASSWORD = "Studio-Demo-1"


class Customer(NamedTuple):
    name: str
    language: str
    environments: tuple[str, ...]
    domain: str


class Agency(NamedTuple):
    name: str
    customers: tuple[Customer, ...]


class Login(NamedTuple):
    """A user whose log-in ``make run`` prints."""

    email: str
    name: str
    role: str
    at: str  # slug of the organisation of their membership; empty for the super user
    note: str
    has_app: bool = False
    comes_by_sso: bool = False


class Setting(NamedTuple):
    """The own values of one node; None: inherit."""

    slug: str
    require_mfa: str | None = None
    archive_after_days: int | None = None
    locked: bool = False


def _customer(name: str, stem: str, language: str, *services: str) -> Customer:
    return Customer(name, language, tuple(f"{stem} {service}" for service in services), f"{stem.lower()}.example")


AGENCIES = (
    Agency(
        "Noorderlicht Digital",
        (
            _customer("Maasborg Verzekeringen", "Maasborg", "nl", "Claims", "Service", "Acceptatie"),
            _customer("Woningstichting De Eendracht", "Eendracht", "nl", "Huurders", "Onderhoud", "Acceptatie"),
            _customer("Zorggroep Lindehof", "Lindehof", "nl", "Afspraken", "Patiënten", "Acceptatie"),
            _customer("Tuincentrum Hoogveld", "Hoogveld", "nl", "Webshop", "Winkels", "Acceptatie"),
            _customer("Gemeente Duinwijk", "Duinwijk", "nl", "Burgerzaken", "Afval", "Acceptatie"),
            _customer("Fietsfabriek De Kroon", "Kroon", "nl", "Klantenservice", "Dealers", "Acceptatie"),
            _customer("Bibliotheek Oostland", "Oostland", "nl", "Leden", "Activiteiten", "Acceptatie"),
        ),
    ),
    Agency(
        "Brightside Conversations",
        (
            _customer("Harbour Insurance", "Harbour", "en", "Claims", "Policies", "Staging"),
            _customer("Fairway Outdoor", "Fairway", "en", "Shop", "Returns", "Staging"),
            _customer("Mill Lane Clinic", "Millclinic", "en", "Appointments", "Patients", "Staging"),
            _customer("Northfield Energy", "Northfield", "en", "Billing", "Outages", "Staging"),
            _customer("Castle Books", "Castle", "en", "Orders", "Events", "Staging"),
            _customer("Orchard Housing", "Orchard", "en", "Tenants", "Repairs", "Staging"),
            _customer("Queen Street Bank", "Queenstreet", "en", "Cards", "Branches", "Staging"),
        ),
    ),
    Agency(
        "Polder & Partners",
        (
            _customer("Waterschap Rivierenland-Oost", "Rivierenland", "nl", "Meldingen", "Heffingen", "Acceptatie"),
            _customer("Bakkerij Van Loon", "Vanloon", "nl", "Bestellingen", "Winkels", "Acceptatie"),
            _customer("Polder Airport", "Polderair", "en", "Passengers", "Parking", "Staging"),
            _customer("Sport Centre Zuid", "Zuidsport", "en", "Members", "Courts", "Staging"),
            _customer("Hotel De Gouden Leeuw", "Goudenleeuw", "en", "Guests", "Restaurant", "Staging"),
            _customer("Apotheek Centraal", "Apotheek", "nl", "Recepten", "Balie", "Acceptatie"),
        ),
    ),
)

SETTINGS = (
    Setting("noorderlicht-digital", archive_after_days=730, locked=True),
    Setting("lindehof-afspraken", require_mfa="on"),
    Setting("zorggroep-lindehof", archive_after_days=365),
    Setting("mill-lane-clinic", require_mfa="on", archive_after_days=90, locked=True),
    Setting("queen-street-bank", require_mfa="on", locked=True),
    Setting("queenstreet-branches", archive_after_days=30),
    Setting("castle-books", archive_after_days=180),
    Setting("polderair-parking", archive_after_days=30),
)

LOGINS = (
    Login(
        "femke@noorderlicht.example", "Femke de Vries", "administrator", "noorderlicht-digital",
        "runs an agency with 21 environments; one requires MFA, so a code is asked", has_app=True,
    ),
    Login(
        "jeroen@maasborg.example", "Jeroen Bakker", "organisation_manager", "maasborg-verzekeringen",
        "flips both settings of three environments; no factor yet",
    ),
    Login(
        "pieter@lindehof.example", "Pieter van den Broek", "member", "lindehof-afspraken",
        "must set up a factor first: the environment requires MFA",
    ),
    Login("daan@brightside.example", "Daan Hoekstra", "developer", "harbour-insurance", "API keys and ingest only"),
    Login(
        "sam@sso.example", "Sam Okafor", "administrator", "brightside-conversations",
        "types this address at Demo SSO and is never asked for a code", comes_by_sso=True,
    ),
    Login("root@studio.example", "Robin Visser", "super user", "", "sees everything", has_app=True),
)  # fmt: skip

FIRST_NAMES = ("Anouk", "Bas", "Chloe", "David", "Eva", "Finn", "Grace", "Hugo", "Iris", "Jack", "Kim", "Lars")
LAST_NAMES = ("Jansen", "Smit", "Mulder", "Walker", "Hughes", "Peters", "Dekker", "Clarke", "Vos", "Ward")
STAFF_ROLES = ("administrator", "environment_manager", "member")  # of every customer
