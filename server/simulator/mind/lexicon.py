"""The word lists of the mind: plain English, of no particular knowledge base. Data only."""


def word_list(text: str) -> tuple[str, ...]:
    """The words of a text in order: lists are easier to read and to mend as prose."""
    return tuple(text.split())


STOP = frozenset(
    word_list("""
    a an the this that these those and or but if then than so as of at by for with about into onto through from
    to up down in out on off over under again is am are was were be been being do does did doing done has have
    had having can could will would shall should may might must i me my we us our ours you your yours myself
    yourself yourselves itself himself herself themselves he him his she her hers it its they them their theirs
    what which who whom whose when where why how all any both each few more most other some such no nor not only
    own same too very just also there here please ok okay oh well hey hi hello s t don doesn isn aren didn won't
    wouldn shouldn let lets let's i'd i'll i'm i've you're it's that's what's where's who's one ones something
    anything somewhere anywhere someone anyone much many ever still already yet while during per because don't
    doesn't isn't aren't didn't can't cannot couldn't wasn't weren't""")
)

# Words that a question may contain without any answer repeating them.
LIGHT = frozenset(
    word_list("""
    want wanted need find get got getting go goes went going gone see look looking know knows tell told give say
    said show people person thing things kind kinds type types sort name named called place places time times
    way like take use come comes happen happened mean means available allow allowed possible permitted exact
    exactly current currently usually normally really actually special interesting today tomorrow tonight now
    information info detail details question wonder wondering anybody everybody everyone visit visiting visitor
    visitors guest guests explain describe often learn hear ask asked think believe sure able try stand stands
        located situated lie lies fact facts offer offers provide provided exist exists feature features first-time
        minute order help""")
)

# Words so general that an answer may well use others.
COMMON = frozenset(
    word_list("""
    museum site venue building company organisation organization institution business centre center day days
    week year years hour hours open opens opening close closes closing cost costs price big small old new good
    best large famous main part number amount make made build built buy sell start end begin finish call bring
    leave pay stay enter entry inside outside near around different story history man men woman women long tall
    high deep wide heavy weigh weight height length far away work works run keep put hold display displayed
    exhibit exhibits item items object objects piece pieces originally original made include including each
    maximum minimum per currently own still house group area appear appears become carry carries cause change
    choose contain contains cover covers cross cut fill follow form grow hang hangs happen hold join last meet
    move moves pass pick plan play protect pull push reach receive remain replace return rise save send serve
    set share stop support throw touch travel turn wait walk watch wear worth top bottom middle side beginning
    century life purpose event moment today-day idea kept lasts former before after ago since originally front
    back behind next possible sort lives left right""")
)

IRREGULAR = {
    "booking": "booking", "bookings": "booking", "booked": "booking",
    "built": "build", "made": "make", "sold": "sell", "bought": "buy", "stolen": "steal", "stole": "steal",
    "won": "win", "began": "begin", "begun": "begin", "wrote": "writ", "written": "writ", "drew": "draw",
    "drawn": "draw", "paid": "pay", "held": "hold", "kept": "keep", "brought": "bring", "left": "leav",
    "lost": "lose", "broke": "break", "broken": "break", "gave": "give", "given": "give", "took": "take",
    "taken": "take", "ate": "eat", "eaten": "eat", "children": "child", "men": "man", "women": "woman",
    "feet": "foot", "people": "person", "sank": "sink", "sunk": "sink", "rode": "ride", "spoke": "speak",
    "spoken": "speak", "sang": "sing", "flew": "fly", "flies": "fly", "died": "die", "dying": "die", "death": "die",
    "dead": "die", "grew": "grow", "grown": "grow", "fell": "fall", "found": "find", "founded": "founded",
    "founder": "founded", "founding": "founded", "founders": "founded", "foundation": "founded", "wives": "wife",
    "knives": "knif", "leaves": "leav", "lives": "live", "caught": "catch", "taught": "teach", "led": "lead",
    "met": "meet", "sent": "send", "spent": "spend", "born": "birth", "birthday": "birth", "hung": "hang",
    "struck": "strik", "rung": "ring", "rang": "ring", "worn": "wear", "wore": "wear", "hidden": "hide", "hid": "hide",
    "chosen": "choos", "chose": "choos", "frozen": "freez", "froze": "freez", "driven": "driv", "drove": "driv",
    "risen": "rise", "rose": "rose", "shown": "show", "thrown": "throw", "threw": "throw", "torn": "tear",
    "fed": "feed",
    "fought": "fight", "lit": "light", "shot": "shoot", "stood": "stand", "slept": "sleep", "swum": "swim",
    "told": "tell", "woven": "weav", "spun": "spin", "swept": "sweep", "bred": "breed", "burnt": "burn", "lent": "lend",
    "seen": "see", "known": "know", "laid": "lay", "came": "come", "became": "becom", "ran": "run", "said": "say",
    "sat": "sit", "shook": "shak", "shone": "shin", "slid": "slid", "forgotten": "forget", "hurt": "hurt",
    "dug": "dig", "cast": "cast", "weight": "weigh", "height": "high", "length": "long",
    "depth": "deep", "width": "wid", "species": "species", "bus": "bus", "buses": "bus", "gas": "gas",
    "tv": "television", "bike": "bicycl", "bikes": "bicycl", "photo": "photo", "photos": "photo",
    "evening": "evening", "evenings": "evening", "morning": "morning", "mornings": "morning",
    "building": "building", "buildings": "building", "ceiling": "ceiling", "wedding": "wedding", "red": "red",
    "hundred": "hundred", "seed": "seed", "feed": "feed", "speed": "speed", "need": "need", "king": "king",
    "ring": "ring", "spring": "spring", "string": "string", "wing": "wing", "during": "during", "painting": "painting",
    "paintings": "painting", "aged": "age", "dimension": "dimension", "station": "station", "stations": "station",
}  # fmt: skip

# Phrases whose words do not tell what they mean, and the word that does; questions and passages are read so.
PHRASES = (
    (r"\b(?:get|getting|got|come|go|let) in(?:side|to)?\b(?! touch)", "admission"),
    (r"\b(?:get|getting|got) (?:there|here|to)\b", "reach"),
    (r"\bmoney back\b", "refund"),
    (r"\bhow late\b", "when last"),
    (r"\b(?:runs?|ran) on\b(?! [A-Z]?\w*day)", "fuel"),
    (r"\bwho (?:runs|leads|heads|manages|is in charge of)\b", "who is the director of"),
    (r"\blost (?:his|her|their) (?:life|lives)\b", "died"),
    (r"\bhow old (?:must|should|do|does) \w+ (?:have to |need to )?be\b", "what minimum age"),
    (r"\b(?:laid|lay|set|put) (?:it |them )?out\b", "designed"),
    (r"\bgo(?:es)? back to\b|\bwent back to\b", "was founded by"),
    (r"\b(?:train|railway|rail|metro|central) station\b", "station"),
    (r"\bentry\b|\bentrance fees?\b", "admission"),
    (r"\bhalf[ -]price\b", "discount price"),
    (r"\b(?:headed|run|managed|directed) by\b", "led by"),
    (r"\b(?:tak(?:e|es|en|ing) care of|look(?:s|ed|ing)? after|car(?:e|es|ing) for)\b", "tend"),
    (r"\b(was|were) (.{1,40}?) found\b", r"\1 \2 discovered"),
    (r"\b(?:credit|debit|bank) cards?\b", "card"),
    (r"\b(?:set|put) up\b", "installed"),
    (r"\btake (?:away|out)\b", "remove"),
    (r"\bhow do (\w+) work\b", r"how \1 work"),
    (r"\btop speed\b", "speed"),
    (r"\bswitch(?:ed)? (?:on|off)\b|\bturn(?:ed)? (?:on|off)\b", "switch"),
)

# Each line is one kind of meaning; a word may be of several.
SYNONYMS = {
    "colour": "colour color colours colors coloured",
    "material": "material materials",
    "plant": "plant plants specimen",
    "language": "language languages translated translation",
    "opening": "open opening opens opened hour hours",
    "closing": "close closes closing closed shut shuts closure hours",
    "price": """
        cost costs price prices fee fees charge charges ticket tickets rate rates pay free fare expensive cheap
        cheaper euro euros dollar dollars pound pounds eur usd gbp admission""",
    "entry": "entry entrance admission admittance enter entering ticket tickets entrances door",
    "free": "free gratis complimentary charge",
    "discount": "discount discounts reduced reduction concession concessions concessionary cheaper half-price",
    "toilet": "toilet toilets restroom restrooms bathroom bathrooms washroom wc lavatory loo loos washrooms",
    "child": """
        child children kid kids youngster youngsters toddler toddlers baby babies family families infant under-fives
        teenager teenagers young boy girl son daughter""",
    "baby": "baby babies pram prams buggy buggies pushchair pushchairs stroller strollers nappy diaper changing",
    "senior": "senior seniors pensioner pensioners retired elderly retiree retirees oap",
    "student": "student students pupil pupils school schools university",
    "car": "car cars parking park vehicle vehicles garage parked driver drivers motorway highway carpark",
    "animal": "dog dogs pet pets animal animals cat cats puppy",
    "telephone": "phone telephone number call ring hotline tel",
    "contact": "contact email mail write phone telephone",
    "website": "website web online internet site homepage page url",
    "wifi": "wifi internet wireless wlan network hotspot online",
    "make": """
        built build constructed construct construction erected erect made make create created creation designed
        design designer architect crafted craft carved forged manufactured produced assembled sculpted cast
        completed finished laid""",
    "artist": "painted paint painting painter artist artwork portrait picture canvas drew drawn sculptor sculpted work",
    "author": "wrote written write writer author poet novelist composed composer book",
    "found": "founded founder established establish started set-up created began begun start",
    "discover": "discovered discover discovery found find unearthed excavated dug uncovered spotted",
    "invent": "invented invent inventor invention devised patented developed",
    "own": "owned own owner belonged belong belongs possession property",
    "obtain": """
        bought buy acquired acquire purchased donated donate donation gift give gave given bequeathed presented
        obtained received""",
    "shop": "shop shops store gift-shop souvenir souvenirs bookshop buy sell sold purchase merchandise gift gifts",
    "food": """
        eat eating food cafe café restaurant lunch dinner breakfast meal meals snack snacks drink drinks coffee tea
        cake dine bistro canteen hungry thirsty menu picnic cafeteria bar tavern pub inn dishes beer vegetarian
        vegan""",
    "coat": """
        coat coats jacket cloakroom wardrobe locker lockers bag bags luggage suitcase suitcases rucksack backpack
        backpacks umbrella umbrellas baggage belongings""",
    "photo": "photo photos photograph photographs photography picture pictures camera cameras flash film filming selfie"
    " selfies video tripod",
    "access": """
        wheelchair wheelchairs accessible accessibility disabled disability mobility ramp ramps step-free lift lifts
        elevator elevators stairs crutches""",
    "lift": "lift lifts elevator elevators",
    "stairs": "stairs steps staircase step stair climb climbing",
    "hearing": "deaf hearing loop sign-language subtitles",
    "sight": "blind braille tactile sight partially-sighted",
    "book": "book booking bookings reserve reservation reservations reserved advance pre-book appointment",
    "tour": "tour tours guided guide guides excursion walk",
    "audioguide": "audio audioguide headset headphones guide recording",
    "show": "exhibition exhibitions exhibit exhibits display displays displayed shown show gallery collection",
    "transport": "bus buses tram trams train trains metro underground subway stop transport ferry route taxi",
    "direction": "directions reach arrive travel walk nearest route get",
    "place": "address street road avenue square located location lies stands situated floor room hall wing gallery",
    "big": "big large huge biggest largest enormous giant great size",
    "small": "small smallest tiny little least",
    "tall": "tall high height rises tallest highest metres meters feet",
    "long": "long length longest metres meters kilometres",
    "duration": "long lasts last duration minutes takes hours minute hour spend",
    "wide": "wide width broad across diameter",
    "deep": "deep depth deepest below",
    "heavy": "heavy weigh weighs weight tonnes tons kilograms kilos heaviest pounds kg",
    "age": "old age oldest eldest aged ancient earliest year years date dates dated century centuries",
    "speed": "fast speed quick quickly knots fastest",
    "distance": "far distance away kilometres miles",
    "count": "number count total many",
    "birth": "birth born birthplace birthday native",
    "death": "died die death dead killed buried grave",
    "spouse": "wife husband spouse married marry marriage wed wedding bride",
    "king": "king queen emperor monarch ruler prince princess duke",
    "job": "job profession occupation career worked work trade",
    "steal": "stolen steal theft thief thieves robbed robbery taken",
    "destroy": "destroyed destroy burned burnt fire ruined demolished wrecked lost loss collapse bombed damaged",
    "repair": "restored restore restoration repaired repair renovated renovation conserved rebuilt refurbished",
    "begin": "begin begins start starts starting began first launch launched",
    "finish": "end ends finish finishes finished last complete completed",
    "rescue": "save saved saves rescue rescued rescues",
    "adult": "adult adults grown-up grown-ups grownup grownups",
    "care": "tend tends tended keeper keepers",
    "volume": "book books volume volumes",
    "bus": "bus buses",
    "war": "war wartime bombing bombed battle army soldiers siege invasion",
    "bicycle": "bicycle bicycles bike bikes cycle cycling cyclist cyclists",
    "address": "address",
    "bloom": "bloom blooms blossom blossoms flower flowers flowering",
    "heat": "warm hot cold cool temperature degrees celsius heat heated",
    "lead": "director curator manager boss chief leads lead leader led manages chair chairman captain",
    "journey": "trip journey ride travel voyage crossing drive",
    "fuel": "fuel burn burns powered power petrol diesel electric electricity coal oil gas battery batteries",
    "live": "live lives living inhabit inhabitant inhabitants habitat dwell nest nests home sleeps",
    "cook": "cook chef cooks chefs kitchen baker",
    "crime": "robbed rob robbery robbers robber thief thieves stole steal theft bandits burglar raid",
    "sick": "doctor medical first-aid injured ill emergency nurse hospital medicine",
    "lost": "lost lost-property found missing",
    "money": "accept accepted accepts cash card cards credit debit contactless payment payments pay currency atm",
    "ban": "forbidden prohibited banned allowed permitted allow may",
    "sit": "sit seat seats bench benches rest chair chairs seating",
    "smoke": "smoke smoking cigarette cigarettes vape vaping",
    "party": "birthday party parties celebration hire wedding event events",
    "rule": "rule rules regulation policy must",
    "refund": "refund refunds refunded return cancel cancellation cancelled money-back exchange",
    "delivery": "delivery deliver delivered ship shipping dispatch dispatched post",
    "guarantee": "guarantee warranty warranties guaranteed",
    "member": "member members membership subscription join joining friends annual plan plans pass passes",
    "doctor": "doctor physician dentist vet surgeon",
    "boat": "boat boats ship ships vessel",
    "reason": "why reason because cause purpose due",
    "staff": "staff employee employees employ employs worker workers team volunteer volunteers labourer labourers crew",
    "sleep": "sleep bed beds bedroom accommodation overnight room rooms",
    "eatable": "eat eats feed feeds fed diet food",
    "swim": "swim swimming pool bathe bathing",
    "quiet": "busy busiest crowded crowds quiet quieter crowd crowds crowded busiest peak queue queues",
    "teach": "course courses lesson lessons class classes workshop workshops teach training",
    "rent": "rent rental hire hired borrow loan lend",
    "install": "install installation setup installing",
    "configure": "configure configuration setting settings option options",
    "default": "default standard",
    "error": "error errors failure fails fault problem problems crash",
    "limit": "limit limits maximum max most minimum cap",
    "fix": "fix repair troubleshoot solve",
    "delete": "delete remove erase uninstall",
}

# What is a kind of what: a sentence about bats answers for animals, one about animals not for bats.
KINDS_OF = {
    "animal species": """
        bat bats bird birds fish fishes insect insects bee bees horse horses sheep cow cows owl owls frog frogs
        snake snakes seal seals deer fox foxes rabbit rabbits wolf bear monkey mouse mice rat donkey donkeys mule ox
        oxen goat goats pig pigs eagle eagles falcon falcons whale whales shark sharks turtle turtles penguin
        penguins camel camels elephant elephants lion lions bug bugs worm worms""",
    "material": """
        wood wooden oak stone marble granite bronze iron steel gold silver copper brass glass clay ceramic brick
        bricks wool silk paper leather bone ivory plastic concrete lead wax cotton linen mahogany teak pine ebony
        walnut birch beech bamboo limestone sandstone basalt slate flint alabaster amber jade quartz crystal zinc
        tin aluminium titanium canvas velvet enamel porcelain""",
    "colour color": """
        red green blue yellow white black grey gray golden brown pink purple violet orange beige turquoise cream
        silver-grey scarlet crimson azure""",
    "plant species specimen": """
        tree trees flower flowers fern herb herbs bush shrub rose roses lily oak palm orchid orchids moss""",
    "wood timber": "oak mahogany teak pine ebony walnut birch cedar beech willow bamboo ash spruce larch elm maple",
    "metal": "bronze iron steel gold silver copper brass lead zinc tin aluminium titanium pewter platinum",
    "stone rock": "marble granite limestone sandstone basalt slate flint alabaster jade quartz",
    "bird": "eagle falcon owl owls penguin penguins goose geese duck ducks swan swans parrot raven ravens stork",
    "fish": "shark sharks carp koi herring salmon trout eel eels tuna cod",
    "tree": "oak lime palm plane beech cherry apple pine linden chestnut maple elm yew cedar",
    "language": """
        english french german spanish italian dutch chinese japanese polish korean russian portuguese arabic turkish
        greek swedish czech hindi""",
}

# Meanings that often answer for each other; both directions are read.
_RELATED_PAIRS = """
    entry-price discount-price free-price student-discount child-discount senior-discount telephone-contact
    contact-website make-found make-artist make-author make-invent make-age found-age begin-opening opening-
    closing finish-closing found-begin shop-price food-shop access-stairs access-lift access-baby coat-rule
    place-direction transport-direction transport-place car-direction wide-big age-birth age-death discover-
    found obtain-discover obtain-own steal-obtain destroy-steal repair-make book-price book-telephone book-
    website tour-book audioguide-language show-place photo-ban animal-ban food-ban smoke-ban begin-tour
    distance-transport duration-tour rent-price refund-price delivery-price member-price party-rent language-
    tour money-price wifi-website sleep-price install-configure limit-count long-duration delete-install fix-
    error fix-repair"""


def _related() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for pair in _RELATED_PAIRS.split():
        one, _, other = pair.partition("-")
        found[one] = found.get(one, frozenset()) | {other}
        found[other] = found.get(other, frozenset()) | {one}
    return found


RELATED = _related()

MONTHS = word_list("january february march april may june july august september october november december")
DAYS = word_list("monday tuesday wednesday thursday friday saturday sunday")
