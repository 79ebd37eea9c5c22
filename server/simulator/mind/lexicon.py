"""The word lists of the mind: plain English, of no particular knowledge base. Data only."""


def word_list(text: str) -> tuple[str, ...]:
    """The words of a text in order: lists are easier to read and to mend as prose."""
    return tuple(text.split())


STOP = frozenset(
    word_list("""
    a an the this that these those and or but if then than so as of at by for with about into onto through from to
    up down in out on off over under again is am are was were be been being do does did doing done has have had
    having can could will would shall should may might must i me my we us our ours you your yours myself yourself
    yourselves itself himself herself themselves he him his she her hers it its they them their theirs what which
    who whom whose when where why how all any both each few more most other some such no nor not only actually
    altogether basically apparently anyway same too very just also there here please ok okay oh well hey hi hello s
    t don doesn isn aren didn won't wouldn shouldn let lets let's i'd i'll i'm i've you're it's that's what's
    where's who's one ones something anything somewhere anywhere someone anyone much many ever still already yet
    while during per because don't doesn't isn't aren't didn't can't cannot couldn't wasn't weren't""")
)

# Words that a question may contain without any answer repeating them.
LIGHT = frozenset(
    word_list("""
    want wanted need find get got getting go goes went going gone see look looking know knows tell told give say
    said show people person thing things kind kinds type types sort name named called place places time times way
    like take use come comes happen happened mean means available allow allowed possible permitted exact exactly
    current currently usually normally really special interesting today tomorrow tonight now information info detail
    details question wonder wondering anybody everybody everyone visit visiting visitor visitors guest guests
    explain describe often learn hear ask asked think believe sure able try stand stands located situated lie lies
    fact facts offer offers provide provided exist exists feature features first-time minute order help came bring
    brought heard bore bored easily stuff bit moment love loved loves lovely nice amazing funny weird odd curious
    glad happy afraid honest right true correct wrong guess suppose keen hope hoping interested interest maybe
    perhaps probably definitely else supposed planning thinking thought trying mind worth lot lots whole always even
    precisely roughly approximately remember notice noticed saw mention mentioned read turn turned long-term certain
    certainly especially obviously simply proper properly quite rather somehow etc various general regular normal
    common matter idea reason around put away back self same total overall couple days day while start started teeny
    terrible terribly awful beautiful gorgeous fantastic brilliant cute wow fun enjoy enjoyed excited later soon
    earlier every almost nearly complete ready keep kept wonderful impressive somebody nobody everything nothing""")
)

# Words so general that an answer may well use others.
COMMON = frozenset(
    word_list("""
    museum site venue building company organisation organization institution business centre center day days week
    year years hour hours open opens opening close closes closing cost costs price big small old new good best large
    famous main part number amount make made build built buy sell start end begin finish call bring leave pay stay
    enter entry inside outside near around different story history man men woman women long tall high deep wide
    heavy weigh weight height length far away work works run keep put hold display displayed exhibit exhibits item
    items object objects piece pieces originally original include including each maximum minimum per currently own
    still house group area appear appears become carry carries cause change choose contain contains cover covers
    cross cut fill follow form grow hang hangs happen join last meet move moves pass pick plan play protect pull
    push reach receive remain replace return rise save send serve set share stop support throw touch travel turn
    wait walk watch wear worth top bottom middle side beginning century life purpose event moment today-day idea
    kept lasts former before after ago since front tiny little huge giant enormous precious strange cool modern
    young special first mother mum mom dad father grandmother grandma grandfather grandpa aunt uncle brother sister
    son daughter boy girl guy lady gentleman husband wife partner friend friends boyfriend girlfriend fiance fiancée
    folks kids family lad mate colleague speak talk left arrive arrived coming wore drive dear older younger bigger
    smaller upstairs downstairs nearby closest favourite favorite popular somewhere real actual local kind month
    weeks months minutes second seconds walked walking climb ended started finished back behind next possible sort
    lives right""")
)

# Everyday verbs and adjectives: people choose among many where a guide has written one.
EVERYDAY = frozenset(
    word_list("""
    absolute accept accepts accurate achieve act active add admire admit adopt advanced advice affect agree aim
    alive alone amazing angry annual answer appeal apply appreciate approach arrange arrive asleep assemble attach
    attend attractive avoid aware bad bare base basic beat beg behave belong bend bit blow borrow bother brave
    breathe brief bright broad broken bunch burn bury busy calm care careful catch celebrate chance change charge
    chat cheap check choose claim clean clear clever climb close cold collect combine comfortable compare compete
    complain complete complex concern confident confirm connect consider consist contact continue control copy
    correct count couple crash crazy create cross crowded cry curious current damp dangerous dare dark date dead
    deal decide declare decorate deep delay delicate delicious deliver demand depend deserve design destroy
    determine develop difference different difficult difficulty direct dirty disappear discuss divide do double
    doubt drag draw dream dress drink drop dry due dull eager early earn easy eat elderly employ empty encourage end
    equal escape essential exact examine excellent exchange excite exciting expect expensive experience explore
    express extend face fail fair fall familiar fantastic fast fat favourite fear feed fetch fight fill find fine
    finish firm fit fix flat fluffy fold fond force foreign forget form formal fortunate found fragile freeze
    frequent fresh friendly front full fun function funny future gain gather generous gentle genuine give good grab
    grand grateful great guard half handle happy hard harmful hate head healthy heat heavy help helpful hide high
    historic hit honest hot huge hungry hurry hurt idea identify ill impossible impressive improve increase
    incredible independent inform injure innocent intelligent invite issue jump keen kill kind knock land large last
    late laugh launch lay lazy lead leading leads lend lie likely limit line link list little live lively load local
    lock lonely long look loose lose lot loud lovely low loyal luck lucky magnificent main major manage march mark
    massive match mean measure medium meet melt mend mild minor miss missing mix mobile modern moment multiply
    narrow nasty natural near neat necessary nervous new nice noisy normal note number observe obtain obvious occupy
    occur odd offend official old open operate order ordinary organise original outdoor outer overall pack
    painful pair pale pass pause perfect permanent permit personal pick place plain plant pleasant please pleased
    point poor popular posh possess possible post pour powerful practical practise pray precious prefer prepare
    present press pretend prevent previous private problem produce promise proper protect proud prove provide public
    pull punish purchase pure purpose push question queue quick quiet raise rapid rare raw reach ready real realise
    reason receive recent recognise recommend reduce refer reflect refuse regret regular reject relax release rely
    remain remind remove rent repair repeat replace reply report request require reserve resist respond responsible
    result retire reveal review rich ride rise risk roll rough rub rude ruin rule rush sad safe satisfy save scare
    scary score scratch scream search secret seem sense sensible separate serious serve set settle severe shake
    shallow shape share sharp shelter shine shoot short shout shut shy sick silent silly similar simple single sink
    sit size sleep slide slight slim slip slow small smart smash smile smoke smooth soft solve sore sort sound spare
    special spell spend spill splendid split spoil spot spread stand stare start stay steady steep stick stiff stop
    story straight strange stretch strict strike strong struggle study stupid succeed sudden suffer suggest suit
    suitable sunny superb supply support sure surprise surprising surround survive suspect swap sweet swing switch
    tall taste tasty tear tease tempt terrible test thank thick thin throw tidy tie tight tiny tip tired touch tough
    trace trade traditional transfer transport trap travel treat trip trouble true trust truth twist type typical
    ugly unique unite unlock unpack unusual upset urgent use useful usual vague valuable vanish variety various vary
    vast view violent visible vote walk wander warm warn wash waste watch wave weak wealthy wear weigh weird wet
    whisper whole wide wild willing win wind wipe wise wish wonder wonderful world worried worry worst wrap wreck
    write wrong yell young""")
)

IRREGULAR = {
    "booking": "booking", "bookings": "booking", "booked": "booking",
    "smoked": "smoked", "used": "use",
    "using": "use", "knew": "know", "built": "build",
    "made": "make", "sold": "sell", "bought": "buy", "stolen": "steal", "stole": "steal",
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

# Phrases whose words do not tell what they mean, and the word that does; questions and passages are read so. Each is
# looked for only in a text that has one of the words in front of it.
PHRASES = (
    ("turn turned turns turning show shows showing up", r"\b(?:turn(?:s|ed|ing)?|shows?|showing) up\b", "arrive"),
    ("up", r"\b(?:came|comes?|coming) up with\b|\b(?:dreamt|made|make|thought) up\b", "invented"),
    ("up", r"\b(?:done|doing|do) up\b", "renovated"),
    ("up", r"\b(?:set|put) up\b", "installed"),
    ("out", r"\bout of work\b", "unemployed"),
    ("lie", r"\blie (?:down|back)\b", "couch"),
    ("pop", r"\bpop out\b", "leave"),
    ("out", r"\b(?:laid|lay|set|put) (?:it |them )?out\b", "designed"),
    ("out away", r"\btake (?:away|out)\b", "remove"),
    ("sat satnav", r"\bsat ?nav\b", "satellite navigation"),
    ("people", r"\bpeople (?:who |that )?(?:do you employ|work(?:ing)?)\b", "employees"),
    ("ones", r"\blittle ones\b", "children"),
    ("rock", r"\bspace rock\b", "meteorite"),
    ("love", r"\b(?:fall|fell) in love\b", "married"),
    ("gift", r"\bgift cards?\b", "voucher"),
    ("gift", r"\bgift shop\b", "shop"),
    ("charge", r"\bwho is in charge(?: of)?\b|\bin charge of\b", "director"),
    ("war", r"\bfirst world war\b", "war of 1914"),
    ("using", r"\b(?:stop|stopped) using\b", "until service"),
    ("log", r"\blog books?\b", "logbook"),
    ("starry", r"\bstarry\b", "star"),
    ("far", r"\bfar (?:ahead|in advance)\b", "ahead"),
    ("money", r"\bmoney off\b", "percent discount"),
    ("money", r"\bmoney back\b", "refund"),
    ("on onto", r"\b(?:hang|hold|hangs|holds) on ?to\b", "kept"),
    (
        "left leave leaving forgot forgotten",
        r"\b(?:left|leave|leaving|forgot|forgotten) (?:my|our|his|her|a|an|the|some) ((?:\w+ )?\w+) behind\b",
        r"lost \1",
    ),
    ("boxing", r"\bboxing day\b", "26 December"),
    ("christmas", r"\bchristmas eve\b", "24 December"),
    ("christmas", r"\bchristmas day\b", "25 December"),
    ("year years year's year’s", r"\bnew year['’]?s eve\b", "31 December"),
    ("year years year's year’s", r"\bnew year['’]?s day\b", "1 January"),
    ("solar", r"\bsolar system\b", "planets"),
    ("married", r"\b(?:get|got|getting) married\b", "wedding"),
    ("away", r"\bpass(?:ed)? away\b", "died"),
    (
        "got get getting gets been",
        r"\b(?:got|get|getting|gets|been) (stolen|lost|broken|damaged|hurt|sick|ill)\b",
        r"\1",
    ),
    ("turned", r"\bturned into\b", "became"),
    (
        "number",
        r"\bphone number\b|\bnumber (?:do|can|should|must) (?:i|we) (?:ring|call|dial|phone)\b",
        "telephone number",
    ),
    ("rid", r"\bget rid of\b", "remove"),
    ("push", r"\bpush chairs?\b", "pushchair"),
    ("grown grown-up grown-ups", r"\bgrown[ -]ups?\b", "adult"),
    ("foot", r"\b(?:on|by) foot\b", "walk"),
    ("allowed", r"\ballowed in(?:side|to)?\b", "allowed admission"),
    ("in inside into", r"\b(?:get|getting|come|go|let) in(?:side|to)?\b(?! touch)", "admission"),
    ("get getting got", r"\b(?:get|getting) (?:there|here|to)\b|\bgot (?:there|here)\b", "reach"),
    ("late", r"\bhow late\b", "when last"),
    ("run runs ran", r"\b(?:runs?|ran) on\b(?! [A-Z]?\w*day)", "fuel"),
    ("who", r"\bwho (?:first )?(?:started|began|created)(?= (?:this|the|your|it)\b)", "who founded"),
    ("who", r"\bwho (?:runs|leads|heads|manages)\b", "who is the director of"),
    ("lost", r"\blost (?:his|her|their) (?:life|lives)\b", "died"),
    ("old", r"\bhow old (?:must|should|do|does) (?:\w+ ){1,3}?(?:have to |need to )?be\b", "what minimum age"),
    ("back", r"\bgo(?:es)? back to\b|\bwent back to\b", "was founded by"),
    ("station", r"\b(?:train|railway|rail|metro|central) station\b", "station"),
    ("entry entrance", r"\bentry\b|\bentrance fees?\b", "admission"),
    ("half half-price", r"\bhalf[ -]price\b", "discount price"),
    ("by", r"\b(?:headed|run|managed|directed) by\b", "led by"),
    (
        "care cares caring after for",
        r"\b(?:tak(?:e|es|en|ing) care of|look(?:s|ed|ing)? after|car(?:e|es|ing) for)\b",
        "tend",
    ),
    ("found", r"\b(was|were) (.{1,40}?) found\b", r"\1 \2 discovered"),
    ("card cards", r"\b(?:credit|debit|bank) cards?\b", "card"),
    ("work", r"\bhow do (\w+) work\b", r"how \1 work"),
    ("building", r"\bbuilding (?=(?:the|a|an|it|this|that)\b)", "build "),
    ("speed", r"\btop speed\b", "speed"),
    ("on off", r"\b(?:switch(?:ed)?|turn(?:ed)?) (?:on|off)\b", "switch"),
)

MONTHS = word_list("january february march april may june july august september october november december")
DAYS = word_list("monday tuesday wednesday thursday friday saturday sunday")
