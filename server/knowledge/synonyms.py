"""Everyday English words that ask for the same thing. A small general table, not a thesaurus.

People ask in other words than authors write: "how much is it" for "admission fees". The table holds only such
pairs as occur in visitors' and users' questions anywhere; a knowledge base's own words need no table.
"""

from server.knowledge.stemming import stem

# A passage that only has the other word is a weaker match than one with the word that was asked for.
SYNONYM_WEIGHT = 0.6

# Every word of a line asks for every other one of its line.
_GROUPS = """
    open opening opened closed close hours; shut closed close closing; price cost fee charge admission ticket pay rate
    expensive; entry entrance admission enter; cheap cheaper discount reduced reduction concession; free complimentary
    gratis; free cost charge; toilet restroom bathroom lavatory washroom loo wc; eat food meal lunch dinner breakfast
    restaurant cafe snack hungry; dinner evening supper; drink beverage coffee tea cafe thirsty; beer wine bar pub;
    vegetarian vegan meat; cook chef kitchen; child kid boy girl son daughter youngster; child family baby infant
    toddler; teenager young youth child; adult grownup; stroller pram buggy pushchair; nappy diaper changing baby;
    senior elderly pensioner retired; student pupil school university; teacher class school; unemployed jobless
    seeker; parking park car; drive driver car motorway road; wheelchair accessible accessibility disabled disability
    mobility step-free; blind braille tactile sight; deaf hearing loop; lift elevator; step stairs staircase climb;
    upstairs floor; shop store; souvenir gift; voucher gift present token; photo photograph photography picture camera
    selfie; video film filming movie; bag luggage backpack suitcase cloakroom locker wardrobe handbag rucksack; coat
    jacket cloakroom wardrobe; umbrella rain; dog pet animal puppy; tour guided guide; language translation; sign
    deaf; bus tram train metro subway underground transport transit; ferry boat; airport plane flight; directions
    route arrive travel; near close nearest closest; address location located situated; buy purchase; sell sold; book
    booking reserve reservation; book volume ledger; table reservation; cancel cancellation refund; card cash payment
    pay contactless; phone telephone call contact number; ring telephone call; email mail contact; wifi wlan internet
    online network; lost missing found; forgot forget left lost; doctor medical aid nurse emergency sick ill faint;
    hurt injured injury aid; job vacancy career employment work; staff employee worker employ team; volunteer help;
    boss director head chief lead manager; run lead director manage; old age oldest; bicycle bike cycle cycling
    cyclist; charge socket power plug battery; member membership friend join; event concert lecture talk performance;
    speech lecture talk; exhibition show exhibit display; temporary special; popular favourite successful visited;
    busy busiest crowd crowded queue; quiet calm peaceful silent; donate donation gift give given; gift present;
    acquire bought gave given donated; inherit bequeath will; own owner belong owned; heavy weigh weight; tall high
    height; big large size giant great; small tiny little miniature; long length; wide width; deep depth; fast speed;
    warm heat hot temperature heating; cold freeze frost; begin start begun; start found founded began; finish end;
    find found discover discovered; dig excavate excavated; make made create creator artist build built; make carve
    carved; painter artist; draw drawn illustrator; construct build built construction architect; design designer
    designed architect; invent invented inventor devise; mend repair restore fix restoration conservation conservator;
    clean wash; break broke broken damage crack; destroy destroyed fire burn burnt; steal stolen theft thief robbed;
    die died death dead killed; kill drown drowned lost; drown sink sank sunk wreck shipwreck; born birth birthday;
    marry married wedding wife husband ceremony; party birthday celebration; hire rent rental borrow loan lend; lend
    borrow; locate find stand; seat sit bench chair stool rest; sleep overnight; smoke smoking cigarette; duration
    last minutes; map chart atlas; mapmaker cartographer; ship boat vessel; sailor seaman fisherman crew; captain
    master skipper; ocean sea; coast shore beach; star constellation sky astronomy; planet solar; space astronomy sky;
    clock watch chronometer timepiece; machine computer apparatus device; model miniature; statue sculpture figure;
    lamp light lantern; stone rock; wood timber; metal iron steel brass copper; doll figure; sword weapon gun; weather
    storm rain wind; lightning thunder; flood tide; earthquake shake; quote motto slogan; name called; meaning mean;
    hide hidden secret; visitor guest people; crown king queen; war bomb bombing; minimum least; maximum most limit;
    age aged years; christmas december; easter april; holiday closing; evening night late; morning early; noon midday
    lunchtime; midnight night; afternoon pm; week weekday; latest last final late; earliest first; former previous
    before; original originally first; replica copy; fake forged copy; true real; reward prize badge; win won winner
    champion; record highest; colour color; smell scent odour; sound noise hear loud; taste flavour; touch feel hand;
    feed fed feeding; fish animal; bird gull; cat kitten; newsletter email; complaint complain feedback; complain
    feedback comment; press journalist reporter; rule allowed; permission permit allowed; install installation setup;
    configure configuration setting option parameter; delete remove erase; error failure fail problem; launch start
    run; password credential secret key token; authentication login authenticate sign; allowed permitted permit
    forbidden prohibited allow ban banned; late latecomer delay; gather assemble assembly meet meeting; cctv camera
    footage recording surveillance; reply answer answered respond response; valid expire expiry last; sponsor adopt
    adoption support fund; taxi cab; satellite navigation satnav; swap exchange change; beam light ray; band music
    concert live; cog gear wheel; meteorite meteor asteroid; dive diver diving; advance ahead beforehand; woman lady
    female; man male gentleman; calm calmer quiet quieter quietest; noise noisy sound loud; overwhelm autism sensory;
    object item thing piece artefact; talk lecture speech; renovate renovated renovation refurbish restore; sandwich
    picnic food; indoor inside; outdoor outside terrace; hot warm; jacket clothes wear clothing; thick thickest fat
    fattest wide; tall tallest high highest; big biggest large largest; small smallest tiny tiniest little; long
    longest length; old oldest ancient earliest; heavy heaviest weight; deep deepest depth; fast fastest quick
    quickest; cold coldest freezing; hot hottest; strange strangest weird weirdest unusual odd; good best; dangerous
    danger safety safe; fire alarm; security guard camera; pram pushchair wheel; breastfeed nurse feeding; plug socket
    charging; atm cash machine; stairs stair step; wood timber pine oak; jewel gem gold silver; real genuine original;
    cost fee deposit; profit money; earn salary wage; trace ancestor family genealogy; logbook log diary journal; fall
    fell crash; love marry married; deaf subtitle sign; teach lesson class workshop; sing song music; dance dancing;
    toy doll game; magnify lens glass; arm hand; explain guide; hail hailstone; ice frozen freeze; thing object; queue
    wait; buy shop; allergic allergy gluten; meat vegetarian; pregnant baby; dentist doctor; letter message post;
    bottle flask; coach bus; camper motorhome caravan van; truck lorry van; lock secure; nearest close next; summer
    july august; winter december january february; spring march april may; autumn october november september; mobile
    phone smartphone cellphone; listen hear audio play; coast coastline shore seaside; scientist researcher science
    research scholar; boss head chief director leader manager; newspaper press journalist magazine media; builder
    worker workman labourer; island isle; remove removed erase delete; advertise vacancy post publish appear announce;
    intended meant ordered planned destined; lump piece chunk block; raise raised recover recovered salvage retrieve;
    seabed seafloor bottom; couch sofa bench bed; leave exit; difference range gap; edge margin border rim side;
    ladies gents toilets; handle crank lever; creature animal beast wildlife; calculator computer machine; rigging
    rope line cable cord string; abroad foreign overseas country international; ship send deliver parcel shipping;
    famous speciality known renowned; friend guest companion; extra additional supplement surcharge top; worth value
    valuable price appraise valuation; expert specialist authority; garbage rubbish litter trash waste bin; choose
    pick select; hurry quick fast short; begin launch introduce introduced start; cancelled postponed moved; decide
    decision committee vote; accept take accepted; refuse reject decline; announce announcement publish; teach taught
    lesson education learning; learn learned taught; university college student academic; kindergarten nursery
    preschool toddler; primary school pupil; apprentice trainee traineeship internship intern; retire retired
    pensioner; holiday vacation; bank holiday; christmas xmas december; money cash coin currency; poor money afford;
    rich wealthy banker; soldier army navy military; navy ship naval; police officer crime; lawyer court; priest
    church vicar; farmer farm field; baker bread cake; butcher meat; carpenter joiner wood; blacksmith smith forge
    anvil; fisher fisherman angler herring; teacher schoolteacher; professor scientist scholar; pharmacist chemist
    apothecary; clockmaker watchmaker; sculptor carver sculpture; astronomer stargazer; sailor mariner crew; captain
    skipper commander; pirate robber; orphan orphaned parentless; widow widower husband wife; twin sibling brother
    sister; ancestor forefather family; granddaughter grandson grandchildren descendant; father dad daddy; mother mum
    mom; daughter son child; brother sibling; neighbour neighbourhood local district resident; local resident
    neighbourhood; citizen resident inhabitant; foreigner tourist abroad; refugee asylum; bird gull swan goose duck;
    horse donkey; insect moth beetle; shellfish crab lobster mussel; octopus squid; tree wood oak pine; flower plant;
    hair fur wool; skin leather vellum calfskin hide parchment; bone ivory tusk; glass pane window; brick wall; paper
    page sheet; cloth fabric canvas textile; ink pen writing; paint painted colour; gold golden; silver metal; copper
    bronze brass metal; shiny polish polished; sharp pointed; round circular globe ball; wet damp humid humidity; dry
    drought; clean washed wash; dirty mud; broken repaired damaged; ruined destroyed; rusty rust corroded; heavy
    weight load; steep ladder stairs; slope ramp gentle; slippery ice; dark night dim light; bright light sun; loud
    noise horn; silent mute quiet; smell stink scent; soft play cushion; freeze freezer frozen; boil boiling; burn
    fire burnt flame; explode explosion blast; flood flooded high-water; drift drifted float floated; float floating
    moored; sail sailing voyage; voyage journey trip passage; row rowing oar; anchor moored mooring; tow towed pull;
    climb steps; jump leap; run running; swim swimming swum; dive diving; fly flying drone; drive driving driver; ride
    journey; push pushed; pull pulled; turn rotate rotation spin; lift raise carry; carry carried bring brought; throw
    threw thrown; catch caught; hit struck strike beat; strike struck ring rung; ring rung bell sound; press button;
    cut carve; sew stitch needle; tie knot knots tied; hang hung; hide hidden; lose lost; search look hunt expedition;
    explore expedition explorer; measure measured measurement reading; count number counted; weigh weight; record
    recorded noted; predict forecast prediction; forecast prediction weather; calculate calculated computed; draw
    drawn drew; print printed; publish published; write written wrote author; sign signed signature; read reading;
    speak speaks spoken language; translate translated language; sing song; laugh laughing smile; cry weep; sleep
    slept; dream dreamt; marry married wedding; divorce separated; born birth; grow grew; age years; die died death;
    bury buried grave; remember memory memorial commemorate; forget forgotten; believe said legend; luck lucky
    fortune; curse cursed; ghost haunted; mystery unknown mysterious; secret hidden; strange odd curious; joke funny
    humour; special unusual; normal usual; perfect complete; double twice; once single; metre length; kilometre
    distance; minute minutes time; hour hours; day daily; week weekly; month monthly; year annual yearly; spring
    easter; summer june july august; winter january december; sunrise dawn; sunset dusk; moon lunar; sun solar; comet
    meteor; planet saturn earth mars; telescope observatory lens; microscope magnifying; compass north navigation;
    navigation navigate navigator satellite; longitude chronometer; latitude sun; tide tidal flood ebb; wave waves;
    current currents; wind windy gale; rain rainy rainfall rainwater; snow snowy; fog foggy mist; storm stormy gale
    tempest; temperature degrees; pressure barometer; earthquake tremor; volcano volcanic eruption; environment
    climate green sustainable; energy electricity power; recycle reuse reused; dust dirt; insurance insure insured;
    guarantee warranty; damage damaged harm; danger dangerous hazard; emergency alarm evacuate; safe safety secure;
    thief stolen theft; guard security watch; camera photo picture; radio broadcast morse; television tv; internet
    online web; computer machine; printer print scan copy; copy scan photocopy; plug socket adapter charger; charger
    power bank charging; headphones headset; microphone projector; stage auditorium theatre; concert music live;
    orchestra band music; play performance theatre; game play; toy doll; prize award; winner champion; ticket
    admission pass; pass card ticket; annual yearly season; season annual; discount reduced concession cheaper;
    voucher token gift; receipt bill; refund return money; deposit advance; donation gift donate; profit income;
    budget money fund funding; tax charge; sponsor support fund; charity trust; owner owned; street road lane; square
    plaza; harbour port dock; quay pier dock wharf; bridge crossing; station stop terminal; airport plane; parking
    car; bicycle cycling; bus coach; tram streetcar; ferry boat crossing; motorway highway exit; traffic rush; sticker
    badge permit; permit permission licence; form application; apply application applicant; deadline close closing;
    website online internet; letter post mail; stamp stamps; parcel package post; telephone phone; address located;
    map plan; sign signpost; entrance door entry; floor level storey; cellar basement; attic loft roof; roof top;
    tower spire; ceiling roof; wall walls; window glass; door gate; garden yard park; terrace outside; kitchen chef;
    restaurant dining; cafe coffee; bar drinks; breakfast morning; lunch midday; dinner evening; soup starter; cake
    dessert sweet pastry; icecream dessert; tea coffee; beer wine; water drinking; sandwich bread; vegetarian vegan;
    allergy gluten
"""
# The first word stands for each of the others and each of them for it, but they do not for one another.
_GENERAL = """
weekend saturday sunday
weekday monday tuesday wednesday thursday friday
daily monday tuesday wednesday thursday friday saturday sunday
holiday christmas easter
"""

# What a form of question asks for when nothing else says it. The phrase is looked for in the question's words.
HINTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("how", "much"), ("price", "cost", "fee", "ticket", "admission")),
    (("how", "long"), ("minutes", "hours", "duration")),
    (("how", "old"), ("year", "century", "age", "built")),
    (("how", "get"), ("directions", "bus", "train", "station", "located")),
    (("when",), ("hours", "date", "year", "time")),
    (("what", "time"), ("hours", "open", "close")),
    (("monday",), ("open", "hours", "closed")),
    (("tuesday",), ("open", "hours", "closed")),
    (("wednesday",), ("open", "hours", "closed")),
    (("thursday",), ("open", "hours", "closed")),
    (("friday",), ("open", "hours", "closed")),
    (("saturday",), ("open", "hours", "closed")),
    (("sunday",), ("open", "hours", "closed")),
    (("where",), ("located", "floor", "address", "beside", "room")),
)

# Phrases whose words do not tell what they ask for, and what does.
PHRASES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = tuple(
    (tuple(phrase.split()), tuple(meant.split()))
    for phrase, _, meant in (
        line.partition(": ")
        for line in """
boxing day: 26 december; christmas eve: 24 december; christmas day: 25 december; new year s eve: 31 december; new year
s day: 1 january; new years eve: 31 december; new years day: 1 january; out of work: unemployed; you own: owned; you
actually own: owned; you really own: owned; museum own: owned; they own: owned; lie back: couch bed; get in: entry;
let in: entry; come in: entry; go in: entry; get inside: entry; get there: directions; get to: directions; get here:
directions; come up with: invented; came up with: invented; dream up: invented; make up: invented; made up: invented;
set up: founded; money back: refund; lost and found: lost property; leave behind: lost property; left behind: lost
property; hang on to: kept; hold on to: kept; look after: keeper; looks after: keeper; take part: join; sign up: join;
give away: donate; pass away: died; passed away: died; get married: wedding; gift shop: shop; turn up: arrive; turned
into: former; used to be: former; solar system: planets; feel ill: aid; feel sick: aid; speak to: telephone contact;
on foot: walk; hard of hearing: deaf; partially sighted: blind; push chair: pushchair; grown up: adult; grown ups:
adult; little one: children; people work: employees staff; done up: renovated; do up: renovated; sat nav: satellite
navigation; far ahead: advance; how late: until close hours; first world war: war 1914; second world war: war 1940;
gift card: voucher; log book: logbook; space rock: meteorite; go down: sank; went down: sank; in charge: director;
fall in love: married; get rid of: kill remove; money off: discount percent; lie down: sofa couch aid; have a go: try
help; switch on: lit light; turn on: lit light; no longer: until; stop using: service until; belong to: owner owned;
cash machine: atm; written down: record; wrote down: record; writing down: record
""".replace("\n", " ")
        .strip()
        .split("; ")
    )
)


def _table() -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}

    def relate(word: str, other: str) -> None:
        if stem(word) != stem(other):
            table.setdefault(stem(word), {})[stem(other)] = SYNONYM_WEIGHT

    for line in _GROUPS.split(";"):
        group = line.split()
        for word in group:
            for other in group:
                relate(word, other)
    for line in _GENERAL.splitlines():
        for word in line.split()[1:]:
            relate(line.split()[0], word)
            relate(word, line.split()[0])
    return table


_SYNONYMS = _table()


def synonyms(word_stem: str) -> dict[str, float]:
    """The stems that may stand for `word_stem`, each with its weight (below 1)."""
    return _SYNONYMS.get(word_stem, {})
