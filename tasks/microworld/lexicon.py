"""The words and facts of the microworld, version 1: a small English in which everything can be checked.

Pure data. World, vocabulary and corpus are fixed: a change here would re-pretrain every embedded backbone, so
it takes a new VERSION. Every task of the microworld draws its words from this page.
"""

VERSION = 1

WOMEN = "ann mary lucy emma sara kate jane nina eva julia laura rosa".split()
MEN = "tom john paul peter mark david sam max leo ben jack luke".split()

# noun -> (kind, what it does or is good for). Kinds form one level below "thing".
ANIMALS = {
    "dog": ("pet", "bark"), "cat": ("pet", "climb"), "rabbit": ("pet", "jump"), "mouse": ("pet", "hide"),
    "horse": ("beast", "run"), "cow": ("beast", "give milk"), "sheep": ("beast", "give wool"),
    "bear": ("beast", "climb"), "lion": ("beast", "hunt"), "wolf": ("beast", "hunt"),
    "duck": ("bird", "fly"), "owl": ("bird", "fly"), "eagle": ("bird", "fly"), "parrot": ("bird", "fly"),
    "salmon": ("fish", "swim"), "shark": ("fish", "swim"), "trout": ("fish", "swim"),
    "bee": ("insect", "make honey"), "ant": ("insect", "dig"), "spider": ("insect", "dig"),
}  # fmt: skip

FOODS = {
    "apple": "fruit", "banana": "fruit", "pear": "fruit", "lemon": "fruit", "grape": "fruit", "plum": "fruit",
    "carrot": "vegetable", "potato": "vegetable", "onion": "vegetable", "bean": "vegetable",
    "cake": "dessert", "biscuit": "dessert", "pie": "dessert",
    "bread": "meal", "soup": "meal", "cheese": "meal", "rice": "meal", "egg": "meal", "pizza": "meal",
}  # fmt: skip
DRINKS = "water milk tea coffee juice wine".split()
MASS = frozenset((*DRINKS, "bread", "soup", "cheese", "rice", "soap"))  # "some bread", never "a bread"
TASTES = {
    "lemon": "sour", "plum": "sour", "cake": "sweet", "biscuit": "sweet", "banana": "sweet", "grape": "sweet",
    "honey": "sweet", "coffee": "bitter", "onion": "bitter", "cheese": "salty", "soup": "salty",
}  # fmt: skip

# tool -> what one does with it: (verb, object)
TOOLS = {
    "knife": ("cut", "bread"), "hammer": ("hit", "nails"), "spoon": ("eat", "soup"), "broom": ("sweep", "floors"),
    "pen": ("write", "letters"), "key": ("open", "doors"), "phone": ("call", "friends"),
    "needle": ("sew", "shirts"), "saw": ("cut", "wood"), "shovel": ("dig", "holes"), "towel": ("dry", "hands"),
    "soap": ("wash", "hands"), "ladder": ("reach", "roofs"), "lamp": ("light", "rooms"),
    "camera": ("take", "pictures"), "oven": ("bake", "cakes"), "kettle": ("boil", "water"),
    "bucket": ("carry", "water"), "rope": ("tie", "boats"), "map": ("find", "places"), "net": ("catch", "fish"),
    "clock": ("tell", "time"), "brush": ("paint", "walls"), "iron": ("press", "shirts"),
}  # fmt: skip

CLOTHES = "hat coat shirt scarf glove dress sock jacket".split()
VEHICLES = "car bus train boat bike truck plane ship".split()
FURNITURE = "chair table bed sofa desk shelf".split()
TOYS = "ball doll kite puzzle robot balloon".split()
INSTRUMENTS = "piano guitar drum violin flute".split()
CONTAINERS = "box bag cup bottle basket bowl jar".split()

# kind -> (its members, what people do with a member: verb)
USES = {
    "food": (tuple(FOODS), "eat"),
    "drink": (tuple(DRINKS), "drink"),
    "garment": (tuple(CLOTHES), "wear"),
    "vehicle": (tuple(VEHICLES), "drive"),
    "instrument": (tuple(INSTRUMENTS), "play"),
    "animal": (tuple(ANIMALS), "feed"),
    "toy": (tuple(TOYS), "enjoy"),
    "container": (tuple(CONTAINERS), "fill"),
}

MATERIALS = {
    "glass": ("break", "windows"), "paper": ("burn", "letters"), "wood": ("burn", "tables"),
    "stone": ("sink", "walls"), "metal": ("sink", "keys"), "ice": ("melt", "cubes"), "wax": ("melt", "candles"),
    "wool": ("shrink", "socks"), "plastic": ("float", "toys"), "clay": ("break", "pots"),
}  # fmt: skip

INDOORS = "kitchen bedroom bathroom office school shop library hospital theatre hotel garage hall".split()
OUTDOORS = "garden park street beach farm forest river lake market zoo field yard".split()
PLACES = INDOORS + OUTDOORS

# profession -> (place, what such a person does)
JOBS = {
    "doctor": ("hospital", "helps the sick"), "nurse": ("hospital", "helps the sick"),
    "teacher": ("school", "teaches children"), "farmer": ("farm", "grows food"),
    "cook": ("kitchen", "makes meals"), "clerk": ("shop", "sells things"), "actor": ("theatre", "acts in plays"),
    "gardener": ("garden", "grows flowers"), "fisher": ("river", "catches fish"), "writer": ("office", "writes books"),
    "keeper": ("zoo", "feeds animals"), "porter": ("hotel", "carries bags"),
}  # fmt: skip

COLOURS = "red blue green yellow black white brown pink".split()
NUMBERS = "one two three four five six seven eight nine ten".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()

# scales: two poles with two words each; things have the first list, people the second
THING_SCALES = (
    (("big", "large"), ("small", "little")),
    (("hot", "boiling"), ("cold", "freezing")),
    (("clean", "spotless"), ("dirty", "filthy")),
    (("wet", "soaked"), ("dry", "dusty")),
    (("new", "modern"), ("old", "ancient")),
    (("heavy", "massive"), ("light", "weightless")),
    (("hard", "firm"), ("soft", "fluffy")),
    (("bright", "shiny"), ("dark", "dim")),
)
PERSON_SCALES = (
    (("happy", "glad"), ("sad", "unhappy")),
    (("rich", "wealthy"), ("poor", "needy")),
    (("strong", "powerful"), ("weak", "feeble")),
    (("clever", "smart"), ("stupid", "foolish")),
    (("brave", "bold"), ("afraid", "scared")),
    (("angry", "furious"), ("calm", "peaceful")),
    (("tired", "sleepy"), ("awake", "lively")),
    (("healthy", "fit"), ("sick", "ill")),
)
COMPARATIVES = (
    ("taller", "shorter"), ("older", "younger"), ("faster", "slower"), ("stronger", "weaker"),
    ("richer", "poorer"), ("louder", "quieter"), ("happier", "sadder"), ("smarter", "sillier"),
)  # fmt: skip

PRAISE = (
    "wonderful excellent great lovely amazing delightful brilliant superb charming perfect fantastic pleasant".split()
)
BLAME = "terrible awful horrible boring dreadful bad dull nasty disappointing annoying lousy miserable".split()
DEGREES = "very really quite so truly".split()
SHOW_PARTS = "film story music acting ending plot book song play show".split()
STAY_PARTS = "food room service staff place meal view bath breakfast waiter".split()
GOODS = "phone camera lamp chair bike coat bag clock radio watch computer kettle oven sofa desk jacket".split()

# what befalls a bought thing: good and bad
GOOD_ENDS = (
    "it works well", "i use it every day", "i will buy it again", "it was worth the money", "it does its job",
    "it came in time", "my friends want one too", "it still looks new", "it is easy to use", "i am glad i have it",
)  # fmt: skip
BAD_ENDS = (
    "it broke in a week", "i sent it back", "i want my money back", "it was a waste of money", "it does not work",
    "it came too late", "my friends laughed at it", "it fell to pieces", "it is hard to use", "i am sorry i have it",
)  # fmt: skip

# transfer: giver's verb, receiver's verb, participle of the giver's verb
TRANSFERS = (
    ("gave", "got", "given"),
    ("sold", "bought", "sold"),
    ("lent", "borrowed", "lent"),
    ("sent", "received", "sent"),
)
# acts between two: past (also participle), base form
ACTS = (
    ("chased", "chase"), ("helped", "help"), ("followed", "follow"), ("called", "call"), ("pushed", "push"),
    ("visited", "visit"), ("watched", "watch"), ("thanked", "thank"),
)  # fmt: skip
# moves: past, base
MOVES = (("went", "go"), ("walked", "walk"), ("ran", "run"), ("moved", "move"), ("travelled", "travel"))
TAKES = (("took", "take"), ("found", "find"), ("picked", "pick"), ("carried", "carry"))

# what happens to someone -> how they feel, what they do next, what they wanted
SOCIAL = (
    ("won the game", "happy", "jump for joy", "win"),
    ("got a present", "happy", "say thanks", "open it"),
    ("passed the test", "glad", "tell a friend", "learn"),
    ("found some money", "glad", "buy something", "be rich"),
    ("lost the key", "sad", "look for the key", "open the door"),
    ("broke the cup", "sad", "clean the floor", "drink tea"),
    ("failed the test", "unhappy", "learn more", "pass"),
    ("missed the bus", "unhappy", "wait for the next bus", "travel"),
    ("heard a noise at night", "afraid", "turn on the light", "sleep"),
    ("saw a snake", "scared", "run away", "walk"),
    ("was hit by a ball", "angry", "shout", "play"),
    ("waited for two hours", "angry", "leave", "meet a friend"),
    ("worked all day", "tired", "go to bed", "finish the work"),
    ("walked up the hill", "sleepy", "sit down", "see the view"),
    ("ate too much cake", "sick", "lie down", "taste everything"),
    ("fell in the cold lake", "ill", "see a doctor", "swim"),
)

# everyday sequences, in order
SCRIPTS = (
    ("took a cup", "boiled the water", "made the tea", "drank the tea"),
    ("bought a ticket", "got on the train", "sat down", "read a book"),
    ("dug a hole", "planted a seed", "gave it water", "watched it grow"),
    ("woke up", "got dressed", "ate breakfast", "left the house"),
    ("opened the oven", "baked the cake", "cut the cake", "ate the cake"),
    ("filled the bath", "took a towel", "washed the dog", "dried the dog"),
    ("took a pen", "wrote a letter", "closed the letter", "sent the letter"),
    ("put on a coat", "opened the door", "went out", "walked in the rain"),
    ("got a net", "went to the lake", "caught a fish", "cooked the fish"),
    ("found the paint", "took a brush", "painted the wall", "cleaned the brush"),
    ("bought some wood", "took a saw", "cut the wood", "built a table"),
    ("turned on the lamp", "sat on the sofa", "opened the book", "read the story"),
)

# why something failed: (what could not be done, the property, who has it: 0 the first thing, 1 the second)
FITS = (
    ("the {a} does not fit in the {b} because the {x} is too {w}", ("large", "small")),
    ("the {a} did not break the {b} because the {x} was too {w}", ("soft", "hard")),
    ("the {a} could not carry the {b} because the {x} was too {w}", ("weak", "heavy")),
    ("the {a} could not pass the {b} because the {x} was too {w}", ("slow", "fast")),
)

# words of the task formats that the corpus itself may not use often enough to keep
FORMAT_WORDS = (
    "below is an instruction that describes a task write response appropriately completes the request ### : "
    "please choose the correct answer to the question solution ending fill in blank complete given sentence "
    "following with true or false format / answer1 answer2 answer3 answer4 answer5 solution1 solution2 option1 "
    "option2 ending1 ending2 ending3 ending4 premise hypothesis review context options sentiment label topic "
    "paraphrase same different yes no maybe positive negative neutral entailment contradiction acceptable "
    "unacceptable summary summarise dialogue title document text input output first second third last next word "
    "words list name sort count repeat reverse opposite plural past letter describe explain give rewrite change "
    "make short long statement passage source target story category kind odd out of these which what who where "
    "when why how many much _ ? ! . , ; ' \" ( ) - 1 2 3 4 5 6 7 8 9 0"
).split()
