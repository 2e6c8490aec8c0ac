"""What the demo's contacts and bots say, in English and Dutch: a script has turns, a turn its variants.

Words in braces are filled in from ``SLOTS`` and stay the same throughout a conversation. ``user`` speaks first.
"""

from typing import NamedTuple


class Script(NamedTuple):
    topic: str
    turns: tuple[tuple[str, ...], ...]  # contact and bot by turns, the contact first
    keeps: tuple[str, ...]  # slots that the bot keeps as conversation variables


SLOTS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "order": ("10482", "20917", "33105", "48820", "51376", "60044", "77219"),
        "product": ("garden bench", "desk lamp", "rain jacket", "coffee grinder", "bike lock", "office chair"),
        "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
        "time": ("09:15", "10:30", "11:45", "13:20", "14:40", "16:05"),
        "street": ("14 Mill Lane", "3 Harbour Road", "88 Queen Street", "27 Orchard Close"),
        "amount": ("12.50", "34.95", "89.00", "149.99", "240.10"),
        "topic": ("my password", "the mobile app", "my last bill", "the newsletter"),
        "name": ("Alex", "Sam", "Jo", "Robin", "Charlie", "Noor"),
    },
    "nl": {
        "order": ("11873", "25540", "31906", "47718", "52089", "68331", "79402"),
        "product": ("tuinbank", "bureaulamp", "regenjas", "koffiemolen", "fietsslot", "bureaustoel"),
        "day": ("maandag", "dinsdag", "woensdag", "donderdag", "vrijdag"),
        "time": ("9.15 uur", "10.30 uur", "11.45 uur", "13.20 uur", "14.40 uur", "16.05 uur"),
        "street": ("Molenweg 14", "Havenstraat 3", "Kerkplein 8", "Boomgaard 27"),
        "amount": ("12,50", "34,95", "89,00", "149,99", "240,10"),
        "topic": ("mijn wachtwoord", "de app", "mijn laatste rekening", "de nieuwsbrief"),
        "name": ("Sanne", "Bram", "Fleur", "Joris", "Noor", "Tijn"),
    },
}

SCRIPTS: dict[str, tuple[Script, ...]] = {
    "en": (
        Script(
            "delivery",
            (
                (
                    "Where is my order {order}?",
                    "Hi, order {order} should be here by now.",
                    "any news on {order}",
                ),
                ("I'll look that up. Which postcode does it go to?", "One moment. May I have your postcode?"),
                ("2611 AB", "It's 1012 JS", "SW1A 2AA"),
                ("Your {product} is on its way and arrives on {day}.", "Found it: the {product} comes on {day}."),
                ("Great, thank you!", "ok thanks", "Could it be left with the neighbours?"),
                ("You're welcome. Anything else?", "Happy to help. Have a good day!"),
            ),
            ("order", "product", "day"),
        ),
        Script(
            "appointment",
            (
                ("I'd like to make an appointment", "Can I come by on {day}?", "Hello, I need an appointment please"),
                (
                    "Of course. We have {day} at {time}. Does that suit you?",
                    "{day} at {time} is free. Book it?",
                ),
                ("Yes please", "That works, thanks", "Perfect"),
                ("Booked: {day} at {time}. You will get a reminder the day before.",),
                ("Can I change it later?", "Thanks, see you then"),
                ("Yes, up to 24 hours before. Just write here.", "See you on {day}!"),
            ),
            ("day", "time"),
        ),
        Script(
            "claim",
            (
                ("A storm broke a window, I want to report damage", "I need to file a claim", "My bike was stolen"),
                ("I'm sorry to hear that. Where did it happen?", "That is unpleasant. What is the address?"),
                ("At {street}", "{street}, last night"),
                ("Thank you. Could you estimate the damage?", "Noted. About how much is the damage?"),
                ("Around {amount} euros", "I think {amount}"),
                ("Your claim is registered. A colleague reviews it within two working days.",),
                ("Do you need photos?", "All right, thank you"),
                ("Please send them here whenever it suits you.", "You're welcome."),
            ),
            ("street", "amount"),
        ),
        Script(
            "question",
            (
                ("I have a question about {topic}", "Help with {topic}?", "hello"),
                ("Hello! What would you like to know about {topic}?", "Sure, I can help with {topic}."),
                ("It does not do what I expect", "How does it work?", "Where do I find it?"),
                ("You find it under Profile, then Settings. Did that help?", "This page explains it step by step."),
                ("Yes!", "No, can I talk to somebody?", "not really"),
                ("I'll connect you with a colleague. They answer within the hour.", "Glad to hear it."),
            ),
            ("topic",),
        ),
        Script(
            "refund",
            (
                ("I want to send back my {product}", "How do I return order {order}?"),
                ("That's possible within 30 days. Is it unused?", "Of course. Is the {product} still in its box?"),
                ("Yes, never opened", "It's only been out of the box once"),
                ("Then you get {amount} back within five days after we have it.",),
                ("Thanks", "And who pays for shipping?"),
                ("Shipping is free, the label is in your mailbox.", "You're welcome."),
            ),
            ("order", "product", "amount"),
        ),
    ),
    "nl": (
        Script(
            "bezorging",
            (
                (
                    "Waar blijft mijn bestelling {order}?",
                    "Bestelling {order} is er nog niet",
                    "weet u iets van {order}",
                ),
                ("Ik zoek het even op. Wat is uw postcode?", "Momentje. Mag ik uw postcode?"),
                ("2611 AB", "1012 JS", "Dat is 3511 LX"),
                ("Uw {product} is onderweg en komt {day}.", "Gevonden: de {product} wordt {day} bezorgd."),
                ("Fijn, dank u wel!", "oké bedankt", "Mag het ook bij de buren?"),
                ("Graag gedaan. Kan ik nog iets doen?", "Met plezier. Fijne dag!"),
            ),
            ("order", "product", "day"),
        ),
        Script(
            "afspraak",
            (
                ("Ik wil graag een afspraak maken", "Kan ik {day} langskomen?", "Goedemorgen, ik zoek een afspraak"),
                ("Dat kan. {day} om {time} is vrij. Past dat?", "We hebben {day} om {time}. Zal ik die vastleggen?"),
                ("Ja graag", "Prima, dank u", "Dat komt goed uit"),
                ("Vastgelegd: {day}, {time}. U krijgt een dag van tevoren een herinnering.",),
                ("Kan ik het nog verzetten?", "Dank u, tot dan"),
                ("Ja, tot 24 uur van tevoren. Schrijf het gewoon hier.", "Tot {day}!"),
            ),
            ("day", "time"),
        ),
        Script(
            "schade",
            (
                ("Door de storm is een ruit gebroken", "Ik wil schade melden", "Mijn fiets is gestolen"),
                ("Wat vervelend. Waar is het gebeurd?", "Dat is schrikken. Om welk adres gaat het?"),
                ("{street}", "Bij {street}, vannacht"),
                ("Dank u. Hoe hoog schat u de schade?", "Genoteerd. Om welk bedrag gaat het ongeveer?"),
                ("Ongeveer {amount} euro", "Ik denk {amount}"),
                ("Uw melding is geregistreerd. Een collega kijkt er binnen twee werkdagen naar.",),
                ("Heeft u foto's nodig?", "Goed, dank u wel"),
                ("U kunt ze hier sturen wanneer het u uitkomt.", "Graag gedaan."),
            ),
            ("street", "amount"),
        ),
        Script(
            "vraag",
            (
                ("Ik heb een vraag over {topic}", "Kunt u helpen met {topic}?", "hallo"),
                ("Hallo! Wat wilt u weten over {topic}?", "Zeker, ik help u graag met {topic}."),
                ("Het werkt niet zoals ik dacht", "Hoe gaat dat precies?", "Waar vind ik dat?"),
                (
                    "Dat staat onder Profiel, bij Instellingen. Gelukt?",
                    "Deze pagina legt het stap voor stap uit.",
                ),
                ("Ja, gelukt!", "Nee, kan ik iemand spreken?", "niet echt"),
                ("Ik verbind u door. Een collega antwoordt binnen het uur.", "Fijn om te horen."),
            ),
            ("topic",),
        ),
        Script(
            "huur",
            (
                ("De verwarming doet het niet", "Er lekt een kraan in de keuken", "De lift staat stil"),
                ("Vervelend. Op welk adres?", "Dat lossen we op. Wat is uw adres?"),
                ("{street}", "Ik woon aan {street}"),
                ("Een monteur komt {day} tussen 9 en 12. Is er dan iemand thuis?",),
                ("Ja hoor", "Nee, liever 's middags"),
                ("Genoteerd. U krijgt een bericht als hij onderweg is.",),
            ),
            ("street", "day"),
        ),
    ),
}
