"""Which words mean the same, which are a kind of which, and which meanings answer for each other. Data only."""

# Each line is one kind of meaning; a word may be of several.
SYNONYMS = {
    "gather": "gather gathers gathering assemble assembly muster meet meeting",
    "surveillance": "cctv footage surveillance camera cameras recording recordings security",
    "reply": "reply replies respond response answer answers answered",
    "adopt": "sponsor sponsors sponsorship adopt adopts adopted adopting adoption",
    "taxi": "taxi taxis cab cabs",
    "shine": "beam light lamp lit shine shines flash flashed lantern switch switched",
    "music": "music musician band bands concert concerts live song songs choir",
    "gear": "cog cogs gear gears wheel wheels cogwheel",
    "meteorite": "meteorite meteor asteroid",
    "in-advance": "advance ahead beforehand",
    "woman": "woman women lady ladies female",
    "calm": "calm calmer calmest quiet quieter quietest peaceful",
    "object": "object objects item items thing things piece pieces artefact artefacts",
    "lecture": "talk talks lecture lectures speech speeches",
    "renovate": "renovate renovated renovation refurbished refurbishment modernised rebuilt",
    "picnic": "picnic picnics sandwich sandwiches packed",
    "clothes": "jacket jackets clothes clothing wear shoes sweater jumper",
    "thick": "thick thickest fat fattest",
    "odd": "weird weirdest strange strangest odd oddest unusual funniest",
    "high": "high highest tall tallest",
    "least-size": "small smallest tiny tiniest little",
    "oldest": "oldest ancient earliest",
    "valid": "valid expire expires expired lasts",
    "swap": "swap swapped exchange exchanged trade change changed",
    "voucher": "voucher vouchers coupon",
    "on-board": "aboard board onboard",
    "apply": "apply application applications deadline",
    "refill": "fill refill refilling tap taps",
    "pushchair": "pram prams buggy buggies pushchair pushchairs stroller strollers",
    "drone": "drone drones fly flown flying",
    "bunch": "bunch group groups party",
    "latecomer": "late latecomer latecomers delayed",
    "gluten": "gluten gluten-free coeliac celiac",
    "meat": "meat vegetarian vegan",
    "motorhome": "motorhome camper campers van vans caravan caravans",
    "nurse-baby": "nurse nursing breastfeed breastfeeding feeding",
    "kill": "kill kills killed rid remove",
    "break": "break broke broken breaks crack cracked damaged",
    "company": "company firm brothers sons foundry",
    "hail": "hail hailstone hailstones",
    "often": "often frequent frequently every",
    "fund": "paid funded financed cost",
    "necessary": "need needs needed necessary required require must",
    "ill": "faint fainted unwell ill sick",
    "family-tree": "ancestor ancestors ancestry genealogy trace great-grandfather",
    "seaman": "sailor sailors seaman seamen",
    "cloudy": "cloud clouds cloudy overcast",
    "map": "map maps chart charts atlas atlases",
    "invention": "invented invent came-up devised designed design dreamt conceived idea",
    "receive": "get gets got receive receives received win wins given prize reward badge",
    "unemployed": "unemployed jobless job-seeker job-seekers seekers unemployment",
    "conserve": """repair repaired repairs mend mends mended restore restored conserve conservator conservators
        conservation restorer restorers workshop fix fixed clean cleaned""",
    "evening": "evening evenings night nights late",
    "planet": "planet planets solar",
    "clockwork": "clockwork mechanical",
    "space": "space astronomy star stars sky astronomical celestial universe cosmos constellation constellations",
    "machine": "machine machines computer computers apparatus device engine calculator mechanism",
    "model": "model models modelled miniature replica copy sculpture",
    "demonstrate": "demonstration demonstrations demonstrate demonstrated show shown working running works action",
    "sailor": "sailor sailors seaman seamen fisherman fishermen mariner mariners crew drowned",
    "smell": "smell smells scent odour odor stink",
    "handbag": "bag bags handbag handbags purse",
    "weapon": "weapon weapons sword swords gun guns knife knives pistol",
    "forget": "forget forgot forgotten left lost behind",
    "marry": "married marry marrying wedding weddings ceremony ceremonies marriage fiancée fiancé bride engaged",
    "former": "former formerly previously before earlier originally once used",
    "record": "record records recorded recording write writing written readings reading log logged noted measured",
    "peace": "peace peaceful quiet quietest calm calmest crowd crowds crowded busy busiest silence",
    "last-entry": "latest last final latest",
    "popular": "popular biggest successful hit favourite famous most-visited visitors",
    "temporary": "temporary special changing current",
    "true": "true real genuine authentic",
    "fake": "fake false forged invented copy replica",
    "twin": "twin twins pair",
    "drown": "drowned drown sank sink sinking sunk wreck wrecked shipwreck foundered",
    "noise": "noise noises loud sound sounds noisy sirens",
    "dark": "dark darkness dim unlit",
    "storm": "storm storms gale hurricane tempest",
    "lightning": "lightning thunder thunderstorm struck",
    "nationality": "foreign abroad international country countries",
    "bread": "bread cake cakes pastry pastries scone scones bun buns",
    "soup": "soup soups stew chowder broth",
    "wine": "wine beer alcohol cocktail cocktails alcoholic drinks",
    "water": "water fountain fountains bottle bottles refill tap",
    "microphone": "microphone projector technician equipment",
    "library": "library reading archive archives books",
    "newspaper": "newspaper journalist journalists press reporter media",
    "complain": "complain complaint complaints feedback comment comments suggestion",
    "touch": "touch touching hands-on handle feel pet stroke",
    "try": "try dress wear tried",
    "hide": "hide hidden secret sealed concealed",
    "electric": "electric electricity solar power charger chargers charging plug socket sockets battery",
    "recycle": "recycle recycling reuse reused waste green sustainable climate environment environmental eco",
    "award": "award awards prize prizes medal won",
    "record-holder": "record fastest best champion championship winner",
    "statue": "statue sculpture bust monument figure figurehead memorial",
    "coin": "coin coins token tokens",
    "key": "key keys",
    "seat": "seat seats capacity fit fits holds room people guests",
    "floor": "floor storey level upstairs downstairs",
    "nearby": "near nearby close nearest closest next beside around",
    "toddler": "toddler toddlers under-fives play playground corner baby",
    "play": "play playground plays playing games game",
    "birthday": "birthday birthdays party parties",
    "teacher": "teacher teachers class classes pupils school schools",
    "sell": "sell sells sold sale buy bought purchase",
    "cancel": "cancel cancelled cancellation refund refunded",
    "mouse": "bug bugs insect insects moth moths woodworm pest pests beetle beetles",
    "cold": "cold coldest freezing freezer frost ice",
    "hot": "hot hottest warm warmest heat heating heated",
    "earn": "earn earns earned salary salaries wage wages",
    "visitor": "visitor visitors guests people attendance",
    "motto": "motto slogan saying phrase",
    "diver": "diver divers dive dives diving",
    "island": "island islands isle isles",
    "ferry": "ferry ferries boat boats",
    "flight": "airport plane planes flight flights fly landed",
    "exit": "exit junction turn-off",
    "alone": "alone accompanied unaccompanied supervise supervised",
    "sick-bay": "faint unwell ill sick hurt injured injury bleeding headache aid",
    "emergency": "emergency alarm evacuate evacuation fire defibrillator",
    "braille": "blind braille tactile sighted",
    "autism": "autism autistic sensory quiet",
    "deposit": "deposit photo-card security",
    "donor": "donor donors donated gave gift given donate donation bequeathed left will",
    "colour": "colour color colours colors coloured",
    "material": "material materials",
    "plant": "plant plants specimen",
    "language": "language languages translated translation",
    "opening": "open opening opens opened hour hours",
    "closing": "close closes closing closed shut shuts closure hours",
    "price": """
        cost costs price prices fee fees charge charges ticket tickets rate rates pay free fare expensive cheap
        cheaper admission""",
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
    "place": "street road avenue square located location lies stands situated floor room hall wing gallery",
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
    "refund": "refund refunds refunded return cancel cancellation cancelled money-back",
    "delivery": "delivery deliver delivered ship shipping dispatch dispatched post",
    "guarantee": "guarantee warranty warranties guaranteed",
    "member": "member members membership subscription join joining friends annual plan plans pass passes",
    "doctor": "doctor physician dentist vet surgeon",
    "boat": "boat boats ship ships vessel",
    "reason": "why reason because cause purpose due",
    "staff": "staff employee employees employ employs worker workers team volunteer volunteers labourer labourers crew",
    "sleep": "sleep bed beds bedroom accommodation overnight room rooms",
    "eatable": "eat eats feed feeds fed diet food",
    "swim": "swim swimming swimmer bathe bathing",
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

# Words that may stand for each other in a question and its answer, a wider net than the above.
_ALIKE = """
    water sea harbour; instrument tool device; mobile phone smartphone cellphone; listen hear audio play; coast
    coastline shore seaside; scientist researcher science research scholar; boss head chief director leader manager;
    newspaper press journalist magazine media; builder worker workman labourer; island isle; remove removed erase
    delete; advertise vacancy post publish appear announce; intended meant ordered planned destined; lump piece chunk
    block; raise raised recover recovered salvage retrieve; seabed seafloor bottom; couch sofa bench bed; leave exit;
    difference range gap; edge margin border rim side; ladies gents toilets; handle crank lever; creature animal beast
    wildlife; calculator computer machine; rigging rope line cable cord string; abroad foreign overseas country
    international; ship send deliver parcel shipping; famous speciality known renowned; friend guest companion; extra
    additional supplement surcharge top; worth value valuable price appraise valuation; expert specialist authority;
    garbage rubbish litter trash waste bin; choose pick select; hurry quick fast short; begin launch introduce
    introduced start; cancelled postponed moved; decide decision committee vote; accept take accepted; refuse reject
    decline; announce announcement publish; teach taught lesson education learning; learn learned taught; university
    college student academic; kindergarten nursery preschool toddler; primary school pupil; apprentice trainee
    traineeship internship intern; retire retired pensioner; holiday vacation; bank holiday; christmas xmas december;
    money cash coin currency; poor money afford; rich wealthy banker; soldier army navy military; navy ship naval;
    police officer crime; lawyer court; priest church vicar; farmer farm field; baker bread cake; butcher meat;
    carpenter joiner wood; blacksmith smith forge anvil; fisher fisherman angler herring; teacher schoolteacher;
    professor scientist scholar; pharmacist chemist apothecary; clockmaker watchmaker; sculptor carver sculpture;
    astronomer stargazer; sailor mariner crew; captain skipper commander; pirate robber; orphan orphaned parentless;
    widow widower husband wife; twin sibling brother sister; ancestor forefather family; granddaughter grandson
    grandchildren descendant; father dad daddy; mother mum mom; daughter son child; brother sibling; neighbour
    neighbourhood local district resident; local resident neighbourhood; citizen resident inhabitant; foreigner
    tourist abroad; refugee asylum; bird gull swan goose duck; horse donkey; insect moth beetle; shellfish crab
    lobster mussel; octopus squid; tree wood oak pine; flower plant; hair fur wool; skin leather vellum calfskin hide
    parchment; bone ivory tusk; glass pane window; brick wall; stone rock; paper page sheet; cloth fabric canvas
    textile; ink pen writing; paint painted colour; gold golden; silver metal; copper bronze brass metal; shiny polish
    polished; sharp pointed; round circular globe ball; wet damp humid humidity; dry drought; clean washed wash; dirty
    mud; broken repaired damaged; ruined destroyed; rusty rust corroded; heavy weight load; steep ladder stairs; slope
    ramp gentle; slippery ice; dark night dim; bright light sun; loud noise horn; silent mute quiet; smell stink
    scent; taste flavour; soft play cushion; freeze freezer frozen; boil boiling; burn fire burnt flame; smoke
    smoking; explode explosion blast; flood flooded high-water; drift drifted float floated; float floating moored;
    sail sailing voyage; voyage journey trip passage; row rowing oar; anchor moored mooring; tow towed pull; climb
    steps; jump leap; run running; swim swimming swum; dive diving; fly flying drone; drive driving driver; ride
    journey; push pushed; pull pulled; turn rotate rotation spin; lift raise carry; carry carried bring brought; throw
    threw thrown; catch caught; hit struck strike beat; strike struck ring rung; ring rung bell sound; press button;
    cut carve; sew stitch needle; tie knot knots tied; hang hung; hide hidden; lose lost; find found discover
    discovered; search look hunt expedition; explore expedition explorer; measure measured measurement reading; count
    number counted; weigh weight; record recorded noted; predict forecast prediction; forecast prediction weather;
    calculate calculated computed; draw drawn drew; print printed; publish published; write written wrote author; sign
    signed signature; read reading; speak speaks spoken language; translate translated language; sing song; dance
    dancing; laugh laughing smile; cry weep; sleep slept; dream dreamt; marry married wedding; divorce separated; born
    birth; grow grew; age years; die died death; bury buried grave; remember memory memorial commemorate; forget
    forgotten; believe said legend; luck lucky fortune; curse cursed; ghost haunted; mystery unknown mysterious;
    secret hidden; strange odd curious; joke funny humour; special unusual; normal usual; perfect complete; double
    twice; once single; metre length; kilometre distance; minute minutes time; hour hours; day daily; week weekly;
    month monthly; year annual yearly; spring easter; summer june july august; winter january december; sunrise dawn;
    sunset dusk; moon lunar; sun solar; comet meteor; planet saturn earth mars; telescope observatory lens; microscope
    magnifying; compass north navigation; navigation navigate navigator satellite; longitude chronometer; latitude
    sun; tide tidal flood ebb; wave waves; current currents; wind windy gale; rain rainy rainfall rainwater; snow
    snowy; fog foggy mist; storm stormy gale tempest; lightning thunder; hail hailstone; temperature degrees; pressure
    barometer; earthquake tremor; volcano volcanic eruption; environment climate green sustainable; energy electricity
    power; recycle reuse reused; dust dirt; insurance insure insured; guarantee warranty; damage damaged harm; danger
    dangerous hazard; emergency alarm evacuate; safe safety secure; thief stolen theft; guard security watch; camera
    photo picture; film movie filming; radio broadcast morse; television tv; internet online web; computer machine;
    printer print scan copy; copy scan photocopy; plug socket adapter charger; charger power bank charging; headphones
    headset; microphone projector; stage auditorium theatre; concert music live; orchestra band music; play
    performance theatre; game play; toy doll; prize award; winner champion; ticket admission pass; pass card ticket;
    annual yearly season; season annual; discount reduced concession cheaper; voucher token gift; receipt bill; refund
    return money; deposit advance; donation gift donate; profit income; budget money fund funding; tax charge; sponsor
    support fund; charity trust; owner owned; street road lane; square plaza; harbour port dock; quay pier dock wharf;
    bridge crossing; station stop terminal; airport plane; parking car; bicycle cycling; bus coach; tram streetcar;
    ferry boat crossing; taxi cab; motorway highway exit; traffic rush; sticker badge permit; permit permission
    licence; form application; apply application applicant; deadline close closing; website online internet;
    newsletter email; letter message note; stamp stamps; parcel package post; telephone phone; map plan; sign
    signpost; entrance door entry; floor level storey; cellar basement; attic loft roof; roof top; tower spire;
    ceiling roof; wall walls; window glass; door gate; garden yard park; terrace outside; kitchen chef; restaurant
    dining; cafe coffee; bar drinks; breakfast morning; lunch midday; dinner evening; soup starter; cake dessert sweet
    pastry; icecream dessert; tea coffee; beer wine; water drinking; sandwich bread; vegetarian vegan; allergy gluten
"""
# How the names of these groups begin.
ALIKE = "alike:"
SYNONYMS |= {f"{ALIKE}{group.strip()}": group for group in _ALIKE.split(";")}

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
