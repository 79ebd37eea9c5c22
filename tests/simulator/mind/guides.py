"""Invented guides and the questions that people ask of them, with a search like the server's over each."""

import re
import sqlite3

import msgspec

from server.simulator.mind.lexicon import word_list
from tests.simulator.mind import more_guides

GARDEN: dict[str, str] = {
    "Opening times": (
        "Velmora Botanic Garden welcomes visitors every day from 9:00 to 19:00 between April and September. "
        "From October to March the gates shut at 16:30. The garden stays closed on 24 and 25 December. Last "
        "admission is 45 minutes before closing. The glasshouses open an hour later than the grounds."
    ),
    "Tickets and prices": (
        "Adults pay 9.50 euros and visitors over 65 pay 7 euros. Children under 12 enter free. Students with "
        "a valid card get a reduction of three euros. A family ticket for two adults and up to three children"
        " costs 22 euros. Annual passes are sold at the main gate for 48 euros. We accept cards and cash."
    ),
    "How to reach the garden": (
        "The garden lies at 14 Orchard Lane, in the north of Velmora. Tram line 6 stops right in front of the"
        " main gate. From the central railway station the ride takes eleven minutes. There is a car park with"
        " 180 spaces behind the palm house; parking costs 3 euros for the whole day. Cyclists find racks at "
        "both gates."
    ),
    "Palm House": (
        "The Palm House is the oldest building of the garden. It was designed by the engineer Oda Lindqvist "
        "and completed in 1873. The iron and glass structure rises 21 metres above the ground. Inside it is "
        "kept at 24 degrees all year round. A storm broke 400 of its panes in 1953, and repairs lasted two "
        "years. Its tallest inhabitant is a Cuban royal palm planted in 1911."
    ),
    "The titan arum": (
        "The titan arum, nicknamed Old Stinker, flowers only once every seven years or so. Its bloom lasts "
        "about 36 hours and smells of rotten meat to attract beetles. The plant came to Velmora in 1998 as a "
        "gift of the botanic garden of Bogor. The last flowering was in June 2021, when 14,000 people queued "
        "to see it."
    ),
    "Japanese garden": (
        "The Japanese garden was laid out by the landscape gardener Kenji Morita in 1962. Its red bridge "
        "crosses a pond with some thirty koi carp. The stone lantern beside the tea house weighs 850 "
        "kilograms. Visitors may not feed the fish. The cherry trees usually blossom in the second week of "
        "April."
    ),
    "Café Linden": (
        "Café Linden stands next to the rose garden and serves lunch from noon to half past two. Cakes are "
        "baked in the house every morning. Vegetarian and vegan dishes are marked on the menu. On warm days "
        "there are sixty seats on the terrace. Picnics are welcome on the great lawn, but barbecues are "
        "forbidden."
    ),
    "Rules of the garden": (
        "Dogs on a short lead are welcome on the paths but not in the glasshouses. Please do not pick "
        "flowers. Bicycles and scooters must be left at the gates. Photography for private use is permitted "
        "everywhere; tripods need a permit from the office. Drones are prohibited. Smoking is allowed only at"
        " the car park."
    ),
    "Accessibility": (
        "All main paths are paved and suitable for wheelchairs. Four wheelchairs can be borrowed free of "
        "charge at the main gate. The gallery of the Palm House can be reached only by a spiral staircase "
        "with 86 steps. Accessible toilets are beside Café Linden and in the herbarium. Guide dogs may enter "
        "every building."
    ),
    "Guided tours": (
        "Guided tours start on Sundays at 11:00 at the main gate and last ninety minutes. The tour costs 4 "
        "euros on top of admission. Groups of more than ten should book two weeks ahead by telephone on 0555 "
        "201 340. Tours are given in English and French. An audio guide in six languages can be rented for "
        "2.50 euros."
    ),
    "Herbarium": (
        "The herbarium keeps 340,000 pressed plants. The oldest specimen is a fern collected in 1689 by the "
        "ship's doctor Pieter Hagen. Researchers may visit on Wednesdays by appointment. Its curator, Dr. "
        "Salma Benali, leads a project to photograph every sheet by 2030."
    ),
    "History of the garden": (
        "The garden was founded in 1821 by Duchess Leonie of Velmora to grow medicinal herbs. In 1860 it was "
        "given to the university. During the war the lawns were turned into potato fields. It covers 28 "
        "hectares today and employs 63 gardeners. Around 410,000 people come every year."
    ),
    "The old plane tree": (
        "The plane tree at the south gate was planted in 1790 and is thus older than the garden itself. Its "
        "trunk measures 7.4 metres around. Lightning split its crown in 1934. Steel cables have held it "
        "together since."
    ),
    "Garden shop": (
        "The shop at the main gate sells seeds, bulbs and gardening books. It is open until 18:00. Its "
        "bestseller is the Velmora tomato, of which seeds cost 3.20 euros a packet."
    ),
    "Butterfly house": (
        "More than forty species of butterflies live in the butterfly house from May to August. The "
        "caterpillars feed on nettles grown behind the building. Please check your clothes for butterflies "
        "before you leave. The largest is the blue morpho, with wings 15 centimetres across."
    ),
    "Children's programme": (
        "The playground beside the maze is meant for children from three to ten. Every Saturday at two "
        "o'clock there is a workshop where young gardeners plant a pot to take home. Birthday parties can be "
        "held in the old boiler house for 120 euros. Prams can be left at the gate, and a changing table is "
        "in the herbarium."
    ),
}

RAILWAY: dict[str, str] = {
    "The Korvan Valley line": (
        "The Korvan Valley Railway runs 18.6 kilometres from Tarnby to Upper Korvan. The line was opened on 3"
        " May 1894 to carry slate from the quarries. Passenger services ended in 1967. Volunteers reopened it"
        " in 1979. A journey from end to end takes 55 minutes."
    ),
    "Timetable": (
        "Trains run daily from Easter to the end of October, and on weekends in December. The first train "
        "leaves Tarnby at 9:40 and the last returns from Upper Korvan at 17:15. On Mondays in spring there is"
        " no service. In July and August a train leaves every forty minutes."
    ),
    "Fares": (
        "A return ticket for the whole line costs 16 pounds, a single 10 pounds. Passengers under five travel"
        " free, and those under sixteen pay half. Dogs need a ticket of 2 pounds. Bicycles are carried free "
        "when there is room. Tickets bought online can be refunded until the day before travel."
    ),
    "Locomotive Bethan": (
        "Bethan is the oldest locomotive of the railway, built in 1889 by Harrow and Pryce in Leeds. She "
        "weighs 23 tonnes and reaches 40 kilometres an hour. Her boiler was replaced in 2004 at a cost of "
        "210,000 pounds. She is painted dark green. Her name comes from the quarry owner's daughter."
    ),
    "Locomotive Goliath": (
        "Goliath is the strongest engine on the line. Built in Kassel in 1937, it came to Korvan from a sugar"
        " plantation in Java. It burns oil instead of coal. It can pull fourteen loaded coaches up the "
        "steepest gradient."
    ),
    "The Skarn viaduct": (
        "The Skarn viaduct carries the track over the river on nine arches. It is 31 metres high and 204 "
        "metres long. The viaduct was made of local granite by 340 labourers in only two years. Eleven of "
        "them lost their lives. The architect Thomas Weale never saw it finished."
    ),
    "Hollow Hill tunnel": (
        "Hollow Hill tunnel is 812 metres long and completely dark. A colony of horseshoe bats sleeps there "
        "in winter. Legend says that a lost crown was walled up in it. Windows must be closed while the train"
        " passes through."
    ),
    "Tarnby station": (
        "Tarnby station has a ticket office, a waiting room and a museum of signalling. Free parking for 90 "
        "cars is in the goods yard. The toilets are on platform 2. Left luggage can be stored in lockers for "
        "one pound."
    ),
    "Dining car": (
        "The dining car serves cream teas at weekends and a three-course dinner on the first Friday of the "
        "month. Dinner must be reserved at least ten days in advance. The chef is Maria Oyelaran. Gluten-free"
        " meals are available on request."
    ),
    "Driving experience": (
        "On the driver experience course you drive a steam engine yourself. The course lasts a full day and "
        "costs 290 pounds. Participants must be at least 18 years old and wear sturdy shoes. Spectators are "
        "welcome on the platform."
    ),
    "Volunteering": (
        "About 220 volunteers run the railway together with nine paid staff. New helpers are trained as "
        "guards, signallers or gardeners. Write to join@korvanrailway.example. The minimum age is 14."
    ),
    "The great robbery": (
        "On 12 November 1911 masked men stopped the pay train near Hollow Hill and took 4,200 pounds in "
        "silver. The leader, Silas Crane, was arrested three weeks later in Bristol. Most of the money was "
        "never found."
    ),
    "Accessibility on trains": (
        "One coach of each train has space for three wheelchairs and a ramp. Upper Korvan station has steps "
        "only, so wheelchair users should stay on board for the return. An accessible toilet is in the same "
        "coach."
    ),
    "Christmas trains": (
        "The Christmas trains run on the four weekends before 25 December. Every child receives a present. "
        "These trains sell out by October. Tickets cost 24 pounds for all ages."
    ),
}

ROUTER: dict[str, str] = {
    "Setting up the Lumo hub": (
        "Plug the Lumo hub into your router with the yellow cable. The light turns white when the hub is "
        "ready, which takes about two minutes. Install the Lumo app from the store and scan the code on the "
        "bottom of the hub. The hub needs version 3.2 of the app or newer."
    ),
    "Status light": (
        "A blinking blue light means that the hub is updating; do not unplug it. A red light means that there"
        " is no internet. A purple light shows that pairing mode is on. Without any light the hub has no "
        "power."
    ),
    "Resetting the hub": (
        "To reset the hub, hold the button on its back for twelve seconds until the light flashes orange. A "
        "reset deletes all rooms and schedules. Your account is kept."
    ),
    "Sensors": (
        "The motion sensor runs on one CR2450 battery, which lasts up to two years. Its range is eight "
        "metres. Up to 64 sensors can be connected to one hub. Sensors must not be mounted above radiators."
    ),
    "Warranty and returns": (
        "Lumo products are guaranteed for three years. You can send a product back within 30 days of purchase"
        " and get your money back. Shipping of returns is free within Europe."
    ),
    "Privacy": (
        "Recordings never leave the hub unless you switch on cloud backup. Cloud backup stores data in "
        "Ireland. Data is removed 90 days after you close your account."
    ),
    "Plans": (
        "The basic plan is free. Lumo Plus costs 4.99 euros a month and adds cloud backup and phone support. "
        "You can cancel at any time in the app under Account. Support answers on +49 30 5550 1234 on weekdays"
        " from 8 to 18."
    ),
    "Troubleshooting sensors": (
        "If a sensor is shown as offline, take out the battery for ten seconds. Move it closer to the hub if "
        "that does not help. Thick concrete walls halve the range."
    ),
}

# Guide, question, a text that must be in the answer, the title that must be its first source.
ANSWERED: list[tuple[str, str, str, str]] = [
    ("garden", "When does the garden open?", "9:00", "Opening times"),
    ("garden", "What time do you close in winter?", "16:30", "Opening times"),
    ("garden", "Are you open on Christmas Day, 25 December?", "closed on 24 and 25", "Opening times"),
    ("garden", "How late can I still get in?", "45 minutes", "Opening times"),
    ("garden", "How much does it cost to get in?", "9.50", "Tickets and prices"),
    ("garden", "What's the price for pensioners?", "7 euros", "Tickets and prices"),
    ("garden", "Do kids have to pay?", "under 12", "Tickets and prices"),
    ("garden", "Is there a discount for students?", "three euros", "Tickets and prices"),
    ("garden", "Can I pay by credit card?", "cards", "Tickets and prices"),
    ("garden", "How do I get there by tram?", "line 6", "How to reach the garden"),
    ("garden", "What is the address?", "14 Orchard Lane", "How to reach the garden"),
    ("garden", "Where can I park my car?", "180 spaces", "How to reach the garden"),
    ("garden", "How much does parking cost?", "3 euros", "How to reach the garden"),
    ("garden", "Who designed the Palm House?", "Oda Lindqvist", "Palm House"),
    ("garden", "When was the palm house built?", "1873", "Palm House"),
    ("garden", "How tall is the Palm House?", "21 metres", "Palm House"),
    ("garden", "How warm is it inside the palm house?", "24 degrees", "Palm House"),
    ("garden", "How often does the titan arum bloom?", "seven years", "The titan arum"),
    ("garden", "What does the titan arum smell like?", "rotten meat", "The titan arum"),
    ("garden", "Where did the titan arum come from?", "Bogor", "The titan arum"),
    ("garden", "Who laid out the Japanese garden?", "Kenji Morita", "Japanese garden"),
    ("garden", "How heavy is the stone lantern?", "850", "Japanese garden"),
    ("garden", "When do the cherry trees bloom?", "second week of April", "Japanese garden"),
    ("garden", "Am I allowed to feed the fish?", "may not feed", "Japanese garden"),
    ("garden", "Is there somewhere to eat?", "Café Linden", "Café Linden"),
    ("garden", "Do you have vegan food?", "vegan", "Café Linden"),
    ("garden", "Can we have a picnic?", "great lawn", "Café Linden"),
    ("garden", "Can I bring my dog?", "lead", "Rules of the garden"),
    ("garden", "Can I take pictures?", "permitted", "Rules of the garden"),
    ("garden", "Where may I smoke?", "car park", "Rules of the garden"),
    ("garden", "Is the garden wheelchair accessible?", "wheelchair", "Accessibility"),
    ("garden", "Where are the restrooms?", "Café Linden", "Accessibility"),
    ("garden", "How many steps lead up to the gallery of the palm house?", "86", "Accessibility"),
    ("garden", "When are the guided tours?", "Sundays", "Guided tours"),
    ("garden", "How long is a guided tour?", "ninety minutes", "Guided tours"),
    ("garden", "How much is the audio guide?", "2.50", "Guided tours"),
    ("garden", "What number do I call to book a group?", "0555 201 340", "Guided tours"),
    ("garden", "How many plants are in the herbarium?", "340,000", "Herbarium"),
    ("garden", "What is the oldest plant in the herbarium?", "1689", "Herbarium"),
    ("garden", "Who runs the herbarium?", "Salma Benali", "Herbarium"),
    ("garden", "Who founded the garden?", "Leonie", "History of the garden"),
    ("garden", "How big is the garden?", "28 hectares", "History of the garden"),
    ("garden", "How many visitors come each year?", "410,000", "History of the garden"),
    ("garden", "How old is the plane tree?", "1790", "The old plane tree"),
    ("garden", "What can I buy in the shop?", "seeds", "Garden shop"),
    ("garden", "What do the caterpillars eat?", "nettles", "Butterfly house"),
    ("garden", "Can I celebrate my daughter's birthday there?", "boiler house", "Children's programme"),
    ("garden", "Where can I change my baby?", "herbarium", "Children's programme"),
    ("railway", "How long is the railway line?", "18.6", "The Korvan Valley line"),
    ("railway", "When did the railway open?", "1894", "The Korvan Valley line"),
    ("railway", "How long does the trip take?", "55 minutes", "The Korvan Valley line"),
    ("railway", "What time is the first train?", "9:40", "Timetable"),
    ("railway", "Do trains run in July?", "July", "Timetable"),
    ("railway", "How much is a return ticket?", "16 pounds", "Fares"),
    ("railway", "Can I take my bike on the train?", "Bicycles", "Fares"),
    ("railway", "Can I get my money back for a ticket?", "refunded", "Fares"),
    ("railway", "Who built the locomotive Bethan?", "Harrow and Pryce", "Locomotive Bethan"),
    ("railway", "How much does Bethan weigh?", "23 tonnes", "Locomotive Bethan"),
    ("railway", "How fast is Bethan?", "40 kilometres", "Locomotive Bethan"),
    ("railway", "What colour is Bethan?", "dark green", "Locomotive Bethan"),
    ("railway", "What does Goliath run on?", "oil", "Locomotive Goliath"),
    ("railway", "Where was Goliath built?", "Kassel", "Locomotive Goliath"),
    ("railway", "How high is the viaduct?", "31 metres", "The Skarn viaduct"),
    ("railway", "What is the viaduct made of?", "granite", "The Skarn viaduct"),
    ("railway", "How many workers died building the viaduct?", "Eleven", "The Skarn viaduct"),
    ("railway", "How long is the tunnel?", "812", "Hollow Hill tunnel"),
    ("railway", "Which animals live in the tunnel?", "bats", "Hollow Hill tunnel"),
    ("railway", "Where can I leave my suitcase?", "lockers", "Tarnby station"),
    ("railway", "Who is the cook in the dining car?", "Maria Oyelaran", "Dining car"),
    ("railway", "Can I drive a train myself?", "drive a steam engine", "Driving experience"),
    ("railway", "How old must I be to volunteer?", "14", "Volunteering"),
    ("railway", "Who robbed the train?", "masked men", "The great robbery"),
    ("railway", "How much money was stolen?", "4,200", "The great robbery"),
    ("railway", "Can I go to Upper Korvan with a wheelchair?", "steps only", "Accessibility on trains"),
    ("railway", "Do children get a gift on the Christmas train?", "present", "Christmas trains"),
    ("router", "What does a red light mean?", "no internet", "Status light"),
    ("router", "How do I reset the hub?", "twelve seconds", "Resetting the hub"),
    ("router", "What battery does the motion sensor use?", "CR2450", "Sensors"),
    ("router", "How many sensors can I connect?", "64", "Sensors"),
    ("router", "How long is the warranty?", "three years", "Warranty and returns"),
    ("router", "Where is my data stored?", "Ireland", "Privacy"),
    ("router", "How much is Lumo Plus?", "4.99", "Plans"),
    ("router", "How do I cancel my subscription?", "cancel", "Plans"),
    ("router", "What should I do when a sensor is offline?", "take out the battery", "Troubleshooting sensors"),
]

UNKNOWN: list[tuple[str, str]] = [
    (guide, question)
    for guide in ("garden", "railway", "router")
    for question in (
        "Who won the 1998 World Cup?",
        "What is the capital of Australia?",
        "How do I cook risotto?",
        "What is the wifi password of the hotel next door?",
        "Who is the president of France?",
        "What is the weather like tomorrow?",
        "How tall is the Eiffel Tower?",
        "who painted the mona lisa",
        "What time does the post office close?",
        "How many moons does Jupiter have?",
        "When was Mozart born?",
        "How do I renew my passport?",
        "What is the best pizza in town?",
        "Is there a swimming pool?",
        "How much does a taxi to the airport cost?",
        "What is the meaning of life?",
        "Where can I buy a lottery ticket?",
        "What is two plus two?",
        "Which team won the football match yesterday?",
        "How far is the moon?",
    )
] + [
    ("garden", "How heavy is the Palm House?"),
    ("garden", "Who was the duchess married to?"),
    ("garden", "How much does a season ticket for the opera cost?"),
    ("garden", "What is the phone number of the mayor?"),
    ("railway", "Who was the first driver of Goliath?"),
    ("railway", "What is the speed of light?"),
    ("railway", "How much do the volunteers earn?"),
    ("railway", "How old is Silas Crane's wife?"),
    ("router", "Does the hub work on Mars?"),
    ("router", "What is the price of a new iPhone?"),
]

_GUIDES = {"garden": GARDEN, "railway": RAILWAY, "router": ROUTER, **more_guides.GUIDES}
_STOP = frozenset(
    word_list(
        """a an and are at be by can could did do does for from get give have how i in is it me my of on or our please
        should tell that the their there this to us was we were what when where which who why will with would you
        your"""
    )
)
_RETURNED = 5


class GuideSearch:
    """BM25 over one guide, answering in the JSON that the server's search tool sends."""

    def __init__(self, guide: str) -> None:
        self._db = sqlite3.connect(":memory:")
        self._db.execute("create virtual table passage using fts5(title, text, tokenize='porter unicode61')")
        self._db.executemany("insert into passage values (?, ?)", _GUIDES[guide].items())

    def __call__(self, query: str) -> str:
        words = dict.fromkeys(word for word in re.findall(r"\w+", query.lower()) if word not in _STOP)
        match = " OR ".join(f'"{word}"' for word in words)
        sql = "select title, text from passage where passage match ? order by bm25(passage, 2.0, 1.0) limit ?"
        rows = self._db.execute(sql, (match, _RETURNED)).fetchall() if match else []
        passages = [{"id": title, "title": title, "text": text} for title, text in rows]
        return msgspec.json.encode({"passages": passages}).decode()


SEARCHES = {guide: GuideSearch(guide) for guide in _GUIDES}
