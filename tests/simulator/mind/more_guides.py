"""More invented guides. The rules were mended after their first run, so this is a regression set and no blind test."""

GUIDES: dict[str, dict[str, str]] = {
    "clock": {
        "Planning your visit": (
            "The Museum of Clocks and Bells in Hartfeld is open Tuesday to Sunday, 10 a.m. to 6 p.m. On Thursdays"
            " we stay open until 9 p.m. We are closed on Mondays and on 1 January. The ticket desk closes half an"
            " hour before the museum."
        ),
        "Admission": (
            "A day ticket is €11 for adults and €6 for concessions such as students and people over 65. Admission"
            " is free for everyone on the first Sunday of each month. Under-16s never pay. Tickets can be bought "
            "online or at the desk; only card payment is possible in the café."
        ),
        "Getting here": (
            "The museum stands on Mill Square 3, five minutes on foot from Hartfeld Central station. Buses 12 and"
            " 45 stop at Mill Square. There is no visitor car park; the nearest garage is under the Town Hall."
        ),
        "Facilities": (
            "Lockers for bags up to 40 litres are in the basement and take a one-euro coin. Lavatories are found "
            "on the ground floor and on level two. The building has a lift to all floors. Free wireless internet "
            "is available under the name ClockGuest. Prams may be taken into all rooms."
        ),
        "Café Pendulum": (
            "Café Pendulum on the ground floor offers soup, sandwiches and apple cake. It opens at 9:30 and needs"
            " no museum ticket. The courtyard has seats for 40."
        ),
        "The Great Astronomical Clock": (
            "The Great Astronomical Clock in Room 1 was made by Johannes Ferber between 1542 and 1549. It shows "
            "the position of five planets and the phases of the moon. It stands 7.8 metres high and weighs almost"
            " four tonnes. Every day at noon twelve carved apostles parade before the visitors. The clock was "
            "badly damaged by fire in 1702 and restored by Ferber's great-grandson."
        ),
        "The Drowned Bell": (
            "The Drowned Bell was cast in 1391 for the church of Saint Oda. During the flood of 1634 it sank in "
            "the river, where fishermen found it 190 years later. It is made of bronze with an unusual share of "
            "silver. The bell is rung only on New Year's Eve. It hangs in Room 4."
        ),
        "Pocket watches": (
            "Room 6 shows 312 pocket watches. The smallest is no bigger than a fingernail and was worn as a ring "
            "by Countess Mathilde. The most valuable watch, insured for two million euros, belonged to the "
            "explorer Erik Dahl, who carried it to the South Pole."
        ),
        "The cuckoo clocks": (
            "Cuckoo clocks were first built in the Black Forest around 1730. Our collection of 85 was donated by "
            "the dentist Rosa Winkler in 1988. Despite what many think, cuckoo clocks are not Swiss. At three "
            "o'clock all of them are let loose at once."
        ),
        "The tower clock of Brenn": (
            "The tower clock of Brenn has only one hand, because farmers did not need minutes. A blacksmith, "
            "Ulrich Stamm, forged it in 1467 from wrought iron. Its stone weights were replaced by lead in the "
            "19th century. It loses twenty minutes a day."
        ),
        "The atomic clock": (
            "The caesium clock on level two was the first atomic clock in the country. It was in service at the "
            "observatory from 1964 until 1991. It would be wrong by one second in 30,000 years. Professor Lena "
            "Arnold and her team of six built it."
        ),
        "Sundials in the courtyard": (
            "Nine sundials are set up in the courtyard. The oldest is Roman and was dug up in a vineyard in 1903."
            " A plaque explains why sundials and clocks disagree by up to 16 minutes."
        ),
        "The workshop": (
            "In the glass workshop you can watch clockmakers at work on weekdays. Visitors may bring their own "
            "old clock for advice every second Friday. Our head of conservation is Tomas Reyl."
        ),
        "Photography and behaviour": (
            "Taking photos without flash is allowed. Food and drinks must not be carried into the rooms. Only "
            "assistance dogs are admitted. Please switch your phone to silent."
        ),
        "Tours and groups": (
            "Public tours take place on Saturdays at 2 p.m. and last an hour. School classes must register three "
            "weeks before their visit. A private tour for up to 20 people costs €95. Our audio tour is available "
            "in German, English, Polish and Korean."
        ),
        "How the museum began": (
            "The museum goes back to the watchmaker Heinrich Obermann, who left his 400 clocks to the town in "
            "1897. It was opened in a former granary in 1905. The bombing of 1944 destroyed a third of the "
            "collection. The new wing by the architect Yara Mendes was added in 2011."
        ),
        "Museum shop": (
            "The shop beside the entrance sells watch straps, kits for wooden clocks and books. It can be visited"
            " without a ticket. Members of the friends' association get ten percent off."
        ),
        "Children": (
            "The time-travel trail for children between six and eleven can be borrowed at the desk for free. On "
            "Sundays there is a craft hour at 11 a.m. in which a paper sundial is made."
        ),
    },
    "sea": {
        "Opening hours": (
            "Sandwick Sea Centre opens daily at 10:00. It closes at 18:00, and at 20:00 on Fridays. In January "
            "the centre is closed for maintenance."
        ),
        "Prices": (
            "Entry is 14 dollars for grown-ups and 8 dollars for children aged 4 to 15. Toddlers get in for "
            "nothing. Carers of disabled visitors enter free of charge. After 16:00 all tickets are half price."
        ),
        "Arrival": (
            "We are on Pier 7 at the end of Harbour Street. The ferry from Oldport lands beside the entrance. "
            "Leave the motorway at exit 21. Drivers can use the multi-storey on Dock Road, which charges 2 "
            "dollars an hour."
        ),
        "The whale skeleton": (
            "A blue whale skeleton 25 metres in length hangs above the main hall. The animal was stranded at Cape"
            " Morrow in 1891. Schoolchildren gave it the name Agnes. Its skull alone weighs as much as two cars."
        ),
        "Shark tank": (
            "The shark tank holds 2.2 million litres of sea water. Eleven sharks of four species circle in it. "
            "Feeding is on Tuesdays and Fridays at 15:30. The acrylic pane is 40 centimetres thick."
        ),
        "Penguins": (
            "Our colony of 22 Humboldt penguins came from Chile in 2008. They eat about nine kilos of herring "
            "every day. The chicks usually hatch in March. The keeper Ines Navarro has looked after them from the"
            " start."
        ),
        "The lifeboat Courage": (
            "The lifeboat Courage served from 1923 to 1958 and rescued 187 people. Her coxswain Patrick Moyle "
            "received a gold medal. The boat was paid for by a rich widow, Lady Ashcombe. She is built of "
            "mahogany."
        ),
        "Touch pool": (
            "In the touch pool visitors may stroke starfish and crabs. Hands must be rinsed beforehand. Sea "
            "urchins are kept out of it because their spines break easily."
        ),
        "The pearl of Lune": (
            "The pearl of Lune is the most precious exhibit. It was discovered by the diver Haruto Sano off Lune "
            "Island in 1956. It was stolen in 1983 and turned up again in a flower pot four months later. It has "
            "the colour of pale pink."
        ),
        "Submarine Narwhal": (
            "The research submarine Narwhal could dive to 3,100 metres. Three people fitted inside. It was "
            "designed in Genoa and retired in 2002. Visitors can climb in through the hatch, which is only 60 "
            "centimetres wide."
        ),
        "Restaurant": (
            "The Crow's Nest restaurant on the top floor looks out over the bay. It serves seafood and a "
            "children's menu. Reservations are taken at the counter. High chairs are available."
        ),
        "Practical matters": (
            "There is a cloakroom next to the ticket office. Restrooms and a nursing room are beside the lifts. "
            "We lend wheelchairs and ear protectors. Found objects are kept for six weeks at reception. Smoking "
            "is not permitted anywhere on the pier."
        ),
        "Events": (
            "On sleepover nights children spend the night in front of the shark tank; a place costs 75 dollars. "
            "On World Ocean Day, 8 June, admission is free. The hall can be hired for weddings."
        ),
        "Research": (
            "Twenty-six scientists work at the centre. They have tagged more than 900 turtles since 1999. The "
            "laboratory is headed by Professor Amara Diallo. Their longest tracked turtle swam 11,400 kilometres."
        ),
        "The founding": (
            "The centre began as a small aquarium which the fisherman Joe Sandwick set up in his shed in 1931. It"
            " moved to the pier in 1976. The present building, shaped like a wave, cost 58 million dollars."
        ),
    },
    "castle": {
        "Visiting Grauberg Castle": (
            "Grauberg Castle is open from 9:30 to 17:30 between March and October, and from 10:00 to 16:00 in the"
            " remaining months. The castle is closed on Christmas Eve and New Year's Day. A visit takes about two"
            " hours. The busiest time is between 11:00 and 14:00 on weekends."
        ),
        "Ticket prices": (
            "The standard ticket is 13 francs. Children from 6 to 15 pay 5 francs, younger ones nothing. Holders "
            "of a disability card and one companion enter free. The combined ticket with the mine costs 19 francs"
            " and is valid for two days."
        ),
        "Getting to the castle": (
            "The castle sits on a rock above the village of Grau. The funicular leaves every ten minutes from the"
            " village square and takes four minutes. On foot the climb takes half an hour. Cars cannot drive up; "
            "the car park P2 by the river has 300 spaces."
        ),
        "The Great Hall": (
            "The Great Hall was completed in 1328 under Duke Albrecht the Lame. Its oak ceiling is held up by "
            "sixteen beams, each cut from a single tree. The hall is 34 metres long and 12 metres wide. Banquets "
            "for up to 250 guests were held here. The fresco on the north wall shows the siege of 1402."
        ),
        "The Armoury": (
            "The Armoury holds more than 900 weapons and 47 suits of armour. The heaviest suit weighs 38 "
            "kilograms and belonged to the knight Kuno of Steeg. A tiny suit was forged for Prince Otto when he "
            "was five. Visitors may try on a helmet and a chain-mail shirt."
        ),
        "The well": (
            "The castle well is 92 metres deep. It took miners eleven years to dig it. A poured cup of water "
            "needs almost five seconds until it is heard to splash. Until 1911 two donkeys turned the wheel that "
            "raised the bucket."
        ),
        "The White Lady": (
            "Legend has it that the ghost of Agathe, wife of Duke Ruprecht, walks through the east wing when the "
            "moon is full. She is said to have hidden her jewels before her death in 1497. They have never been "
            "found. Guests report a smell of lavender."
        ),
        "The library": (
            "The library contains 12,400 volumes. Its treasure is the Grauberg Psalter, a prayer book written by "
            "the nun Hedwig in 1180. The pages are turned once a month to protect the colours. The library was "
            "saved from the fire of 1689 by the cook Barbara Lenz, who threw the books out of the window."
        ),
        "Torture chamber": (
            "The so-called torture chamber was really a storeroom for cheese. The instruments shown were bought "
            "in 1880 by Count Emil to impress tourists. The rack has never been used."
        ),
        "Castle garden": (
            "The baroque garden was planted in 1715 after a plan by the Frenchman Claude Mercier. A lime tree by "
            "the gate is 600 years old. Medicinal herbs such as sage and rue grow in beds edged with box. The "
            "fountain runs from May to September."
        ),
        "Falconry": (
            "Eagles, owls and falcons fly at 11:00 and 15:00 daily except Mondays. The falconer Birgit Thal "
            "trains fourteen birds. The eldest, an eagle owl called Hugo, is 31. The show lasts 40 minutes and is"
            " included in the ticket."
        ),
        "Food and drink": (
            "The Knights' Tavern serves hearty dishes and home-brewed beer until 17:00. Its speciality is barley "
            "soup. Vegetarians find three dishes on the menu. Picnic tables stand beneath the west wall."
        ),
        "Services": (
            "Toilets are in the gatehouse and beside the tavern. Pushchairs must be left at the gatehouse because"
            " of the stairs. Wheelchair users can see the courtyard, the hall and the garden, but not the towers."
            " Lockers take a two-franc coin. Audio guides in five languages cost 4 francs."
        ),
        "Photos and dogs": (
            "Photography is welcome for private use, without flash in the library. Dogs may come along on a lead "
            "but must stay outside the library and the falconry arena. Drones are banned."
        ),
        "Weddings and events": (
            "Couples can be married in the chapel on Fridays and Saturdays. The medieval fair takes place on the "
            "last weekend of July. At the castle ball in January guests wear historical costumes. For bookings "
            "call 062 555 88 10."
        ),
        "From fortress to museum": (
            "The first tower was raised in 1088 by Count Ulrich to watch over the salt road. The castle was "
            "besieged three times but taken only once, by treason, in 1402. In 1806 it became a prison. The "
            "canton bought it in 1923 and turned it into a museum four years later."
        ),
        "The chapel": (
            "The chapel is dedicated to Saint Barbara, patron of miners. Its stained glass was made in 1470 by "
            "master Jörg of Basel. The bell rings at six every evening. Concerts take place there in Advent."
        ),
        "The salt mine": (
            "The mine below the castle supplied salt for five centuries. The temperature in the tunnels is 11 "
            "degrees all year, so bring a jacket. Tours start at 10:30, 13:00 and 15:30. Children under four are "
            "not admitted. A wooden slide of 45 metres leads to the underground lake."
        ),
    },
}

# Guide, question, a text that must be in the answer.
ANSWERED: list[tuple[str, str, str]] = [
    ("clock", "What are your opening hours?", "10 a.m."),
    ("clock", "On which day is the museum closed?", "Mondays"),
    ("clock", "How long are you open on Thursday evening?", "9 p.m."),
    ("clock", "What does admission cost for an adult?", "11"),
    ("clock", "Is there a day with free entry?", "first Sunday"),
    ("clock", "Do my children need tickets, they are 9 and 12?", "never pay"),
    ("clock", "Is there parking at the museum?", "no visitor car park"),
    ("clock", "Which bus goes to the museum?", "12 and 45"),
    ("clock", "Where can I leave my backpack?", "Lockers"),
    ("clock", "Is there a lift?", "lift"),
    ("clock", "What is the name of the wifi?", "ClockGuest"),
    ("clock", "Where are the toilets?", "ground floor"),
    ("clock", "What can I eat in the café?", "soup"),
    ("clock", "Who made the astronomical clock?", "Johannes Ferber"),
    ("clock", "How much does the astronomical clock weigh?", "four tonnes"),
    ("clock", "When do the apostles appear?", "noon"),
    ("clock", "What happened to the astronomical clock in 1702?", "fire"),
    ("clock", "When was the Drowned Bell cast?", "1391"),
    ("clock", "How was the drowned bell rediscovered?", "fishermen"),
    ("clock", "What is the Drowned Bell made of?", "bronze"),
    ("clock", "When is the Drowned Bell rung?", "New Year"),
    ("clock", "How many pocket watches do you have?", "312"),
    ("clock", "Who owned the most valuable watch?", "Erik Dahl"),
    ("clock", "Are cuckoo clocks Swiss?", "not Swiss"),
    ("clock", "Who gave the cuckoo clocks to the museum?", "Rosa Winkler"),
    ("clock", "Why does the tower clock of Brenn have just one hand?", "farmers"),
    ("clock", "How accurate is the atomic clock?", "one second"),
    ("clock", "Who built the atomic clock?", "Lena Arnold"),
    ("clock", "Where was the Roman sundial found?", "vineyard"),
    ("clock", "Can I take photos?", "flash"),
    ("clock", "May I bring my dog?", "assistance dogs"),
    ("clock", "When are the public tours?", "Saturdays"),
    ("clock", "In which languages is the audio guide?", "Korean"),
    ("clock", "How much is a private tour?", "95"),
    ("clock", "Who founded the museum?", "Obermann"),
    ("clock", "Who was the architect of the new wing?", "Yara Mendes"),
    ("clock", "How much of the collection was lost in the war?", "third"),
    ("clock", "Is there something for kids?", "trail"),
    ("clock", "In which room is the Drowned Bell?", "Room 4"),
    ("clock", "How tall is the great clock?", "7.8"),
    ("clock", "Can I use the museum shop without a ticket?", "without a ticket"),
    ("clock", "How far is it from the train station?", "five minutes"),
    ("clock", "What was in the museum building before?", "granary"),
    ("clock", "Can I get my old clock looked at?", "Friday"),
    ("clock", "Can I eat in the galleries?", "must not"),
    ("clock", "Tell me about the Drowned Bell", "Drowned Bell"),
    ("clock", "What is the oldest sundial?", "Roman"),
    ("clock", "How inaccurate is the clock of Brenn?", "twenty minutes"),
    ("clock", "Can I pay cash in the café?", "only card"),
    ("sea", "When do you close on Fridays?", "20:00"),
    ("sea", "Are you open in January?", "closed for maintenance"),
    ("sea", "How much is a ticket for an adult?", "14 dollars"),
    ("sea", "What does it cost for a 10-year-old child?", "8 dollars"),
    ("sea", "Is it cheaper in the late afternoon?", "half price"),
    ("sea", "How do I get there by car?", "exit 21"),
    ("sea", "Where can I park?", "Dock Road"),
    ("sea", "How long is the whale?", "25 metres"),
    ("sea", "What is the whale called?", "Agnes"),
    ("sea", "Where was the whale found?", "Cape Morrow"),
    ("sea", "What kind of whale is it in the main hall?", "blue whale"),
    ("sea", "How much water is in the shark tank?", "2.2 million"),
    ("sea", "How many sharks are there?", "Eleven"),
    ("sea", "When are the sharks fed?", "15:30"),
    ("sea", "What do the penguins eat?", "herring"),
    ("sea", "Where do the penguins come from?", "Chile"),
    ("sea", "Who takes care of the penguins?", "Ines Navarro"),
    ("sea", "When do penguin chicks hatch?", "March"),
    ("sea", "How many lives did the lifeboat save?", "187"),
    ("sea", "Who paid for the lifeboat Courage?", "Lady Ashcombe"),
    ("sea", "Which wood is the lifeboat made of?", "mahogany"),
    ("sea", "Can I touch the starfish?", "stroke"),
    ("sea", "Why are there no sea urchins in the touch pool?", "spines"),
    ("sea", "Who found the pearl?", "Haruto Sano"),
    ("sea", "What colour is the pearl?", "pale pink"),
    ("sea", "When was the pearl stolen?", "1983"),
    ("sea", "Where did the pearl turn up after the theft?", "flower pot"),
    ("sea", "How deep could the Narwhal dive?", "3,100"),
    ("sea", "How many people fit in the submarine?", "Three"),
    ("sea", "Where is the restaurant?", "top floor"),
    ("sea", "I lost my umbrella, where can I ask for it?", "reception"),
    ("sea", "Can I borrow a wheelchair?", "wheelchairs"),
    ("sea", "Can we get married at the sea centre?", "weddings"),
    ("sea", "How much does it cost to sleep next to the sharks?", "75 dollars"),
    ("sea", "Who leads the laboratory?", "Amara Diallo"),
    ("sea", "How far did the turtle swim?", "11,400"),
    ("sea", "Who started the aquarium?", "Joe Sandwick"),
    ("sea", "How much did the building cost?", "58 million"),
    ("sea", "When did the centre move to the pier?", "1976"),
    ("sea", "Is smoking allowed?", "not permitted"),
    ("castle", "What time does the castle open in summer?", "9:30"),
    ("castle", "When does the castle close in winter?", "16:00"),
    ("castle", "How much is a ticket?", "13 francs"),
    ("castle", "How much do children pay?", "5 francs"),
    ("castle", "How do I get up to the castle?", "funicular"),
    ("castle", "Where can I park my car?", "P2"),
    ("castle", "How long does a visit take?", "two hours"),
    ("castle", "When was the Great Hall completed?", "1328"),
    ("castle", "How long is the Great Hall?", "34 metres"),
    ("castle", "What does the fresco in the Great Hall show?", "siege"),
    ("castle", "How many suits of armour are there?", "47"),
    ("castle", "How heavy is the heaviest suit of armour?", "38"),
    ("castle", "Who wore the heaviest armour?", "Kuno"),
    ("castle", "How deep is the well?", "92 metres"),
    ("castle", "How long did it take to dig the well?", "eleven years"),
    ("castle", "Which animals turned the wheel of the well?", "donkeys"),
    ("castle", "Who is the White Lady?", "Agathe"),
    ("castle", "When does the ghost appear?", "moon is full"),
    ("castle", "How many books are in the library?", "12,400"),
    ("castle", "Who wrote the Grauberg Psalter?", "Hedwig"),
    ("castle", "Who saved the library from the fire?", "Barbara Lenz"),
    ("castle", "What was the torture chamber really used for?", "cheese"),
    ("castle", "Who designed the castle garden?", "Claude Mercier"),
    ("castle", "How old is the lime tree?", "600"),
    ("castle", "What time is the falcon show?", "11:00"),
    ("castle", "What is the name of the oldest owl?", "Hugo"),
    ("castle", "Is there a restaurant?", "Tavern"),
    ("castle", "Where are the toilets?", "gatehouse"),
    ("castle", "Can I bring a stroller?", "Pushchairs"),
    ("castle", "Is the castle accessible by wheelchair?", "Wheelchair"),
    ("castle", "Are dogs allowed?", "lead"),
    ("castle", "Can I take photographs?", "Photography"),
    ("castle", "Can we get married at the castle?", "chapel"),
    ("castle", "When is the medieval fair?", "July"),
    ("castle", "What phone number do I call for bookings?", "062"),
    ("castle", "Who built the first tower?", "Ulrich"),
    ("castle", "When did the castle become a prison?", "1806"),
    ("castle", "When did it become a museum?", "four years later"),
    ("castle", "How many times was the castle besieged?", "three times"),
    ("castle", "Who made the stained glass in the chapel?", "Jörg"),
    ("castle", "When does the bell ring?", "six every evening"),
    ("castle", "How cold is it in the mine?", "11 degrees"),
    ("castle", "When do the mine tours start?", "10:30"),
    ("castle", "How long is the slide?", "45 metres"),
    ("castle", "Can small children visit the mine?", "under four"),
    ("castle", "In how many languages is the audio guide?", "five languages"),
    ("castle", "When is it most crowded?", "11:00 and 14:00"),
    ("castle", "What is barley soup?", "speciality"),
]

UNKNOWN: list[tuple[str, str]] = [
    ("clock", "Who won the 1998 World Cup?"),
    ("clock", "What is the capital of Australia?"),
    ("clock", "How do I cook risotto?"),
    ("clock", "What is the wifi password of the hotel next door?"),
    ("clock", "Who invented the telephone?"),
    ("clock", "What time is it in Tokyo?"),
    ("clock", "How much is a Rolex?"),
    ("clock", "Where is the Louvre?"),
    ("clock", "Who is the mayor of Hartfeld?"),
    ("clock", "Do you rent bicycles?"),
    ("clock", "What's the tallest building in the world?"),
    ("clock", "How old is the universe?"),
    ("clock", "Can you recommend a hotel nearby?"),
    ("clock", "What is the price of gold today?"),
    ("clock", "When does the next train to Berlin leave?"),
    ("clock", "How many people live in Hartfeld?"),
    ("clock", "Who is the director of the museum?"),
    ("clock", "When did the Titanic sink?"),
    ("clock", "What does the bell weigh?"),
    ("clock", "Tell me a joke"),
    ("sea", "Who won the 1998 World Cup?"),
    ("sea", "What is the capital of Australia?"),
    ("sea", "How do I cook risotto?"),
    ("sea", "What is the wifi password of the hotel next door?"),
    ("sea", "Do you have elephants?"),
    ("sea", "How deep is the Mariana Trench?"),
    ("sea", "Who directed the film Jaws?"),
    ("sea", "How much does a penguin cost?"),
    ("sea", "What is the tallest mountain on earth?"),
    ("sea", "Which ferry goes to Norway?"),
    ("sea", "When was Shakespeare born?"),
    ("sea", "How many dolphins do you have?"),
    ("sea", "What is the speed limit on the motorway?"),
    ("sea", "Who is the prime minister?"),
    ("sea", "Can I rent a surfboard?"),
    ("sea", "What is the boiling point of water?"),
    ("sea", "How do I get a visa?"),
    ("sea", "What's the score of the game?"),
    ("sea", "How old is Patrick Moyle's son?"),
    ("sea", "What is the square root of 16?"),
    ("castle", "Who won the 1998 World Cup?"),
    ("castle", "What is the capital of Australia?"),
    ("castle", "How do I cook risotto?"),
    ("castle", "What is the wifi password of the hotel next door?"),
    ("castle", "Who is the king of Spain?"),
    ("castle", "What's the exchange rate of the dollar?"),
    ("castle", "How many planets are there?"),
    ("castle", "When was the Berlin Wall built?"),
    ("castle", "How tall is Mount Everest?"),
    ("castle", "Is there an ice rink?"),
    ("castle", "Who wrote Hamlet?"),
    ("castle", "Where can I rent skis?"),
    ("castle", "How much is a hotel room in Grau?"),
    ("castle", "What is the population of Grau?"),
    ("castle", "How do I fix a flat tyre?"),
    ("castle", "When is the next bus to Zurich?"),
    ("castle", "Do you sell swords?"),
    ("castle", "Who composed the Moonlight Sonata?"),
    ("castle", "What does photosynthesis mean?"),
    ("castle", "Can you book me a flight?"),
]
