"""Long texts for the built-in model: essays and poems about any topic, made from templates.

The same topic and length always give the same text. A topic stands only where its number cannot
matter ("the story of cats", never "cats is").
"""

import zlib

ASPECTS = (
    "The beginnings of {topic} were modest. Nobody set out with a finished plan; people noticed"
    " something curious, tried it again, and told a neighbour what they had seen. Much of what we"
    " now take for granted began as a note in a margin, and was nearly lost more than once.",
    "It helps to say what we mean by {topic} before we praise it or blame it. The same words are"
    " used for an idea, for a practice, and for the people who care about both. Keeping those"
    " three apart makes most arguments shorter, and lets a good many of them disappear.",
    "Everyday life has more room for {topic} than one might expect. A remark on the train, a"
    " drawing on the back of an envelope, a question that a child will not let go of: all of them"
    " are ways in. What matters is less the occasion than the habit of looking twice.",
    "Then there are the people who give their working lives to {topic}. They are seldom as solemn"
    " as their reputation; ask what keeps them at it, and they speak of friends, of small"
    " discoveries, and of one stubborn problem that they would like to see solved before they"
    " retire.",
    "Tools deserve a word of their own. Every generation has come to {topic} with what lay on its"
    " workbench, and every new instrument has changed the questions as much as the answers. The"
    " best tools are hardly noticed after a week, and badly missed after a day without them.",
    "Practice comes before theory more often than the textbooks admit. Whoever spends a season"
    " with {topic} learns things that are hard to write down: when to wait, when to begin again,"
    " and which of the many rules may be broken without harm. The writing down comes later.",
    "Mistakes have taught us at least as much as success. The history of {topic} holds confident"
    " predictions that failed, and modest ones that came true in ways nobody had in mind. Keeping"
    " an honest record of both is a courtesy to those who will come to the same crossing.",
    "Measurement is where opinions meet the world. It is easy to feel that {topic} must be getting"
    " better or worse, and much harder to say by how much, compared with what, and according to"
    " whom. A plain number, carefully obtained, has ended many a long evening of debate.",
    "Nothing of value comes without a price, and {topic} can be no exception. Time is spent,"
    " attention is drawn away from other things, and now and then somebody pays who was never"
    " asked. To count such costs openly is no argument against the matter; it is how trust is"
    " made.",
    "Thoughtful people disagree about {topic}, and they have good reasons to. Some look first at"
    " what could be gained, others at what could be lost, and both have examples at hand. The"
    " most useful conversations begin when each side can state the other's case to its"
    " satisfaction.",
    "Teaching is the surest test of understanding. Whoever explains {topic} to a beginner finds"
    " out within minutes which parts were understood and which were merely remembered. The"
    " beginner's questions go straight to the places where the experts have agreed not to look.",
    "Beauty is not the first word that comes to mind here, yet it belongs. There are moments with"
    " {topic} when the pieces fall into place, and what was a heap of facts becomes a shape that"
    " one can walk around. Those moments are brief, and they are why people return.",
    "Limits are worth knowing by name. There are questions to which {topic} can offer no answer,"
    " and it is a mark of maturity to say so without embarrassment. A map that shows where it"
    " ends is of more use to the traveller than one that fills its edges with monsters.",
    "Chance has played a larger part than planners like to think. A delayed letter, a shared"
    " table, a wrong turning taken on a rainy afternoon: without them, the story of {topic} would"
    " read quite differently. Luck, though, has mostly visited those who had left a door open.",
    "No one gets far alone. Around {topic} there have always been circles of people who lend each"
    " other books, argue late, and notice when someone is missing. Such circles seldom appear in"
    " the official accounts, and without them there would be little to account for.",
    "As for the future of {topic}, it will probably be quieter than the headlines suggest. Most"
    " change arrives as a convenience, is grumbled about for a year, and is then so ordinary that"
    " no one recalls the grumbling. The part worth watching is what people do with the time they"
    " gain.",
)
OPENERS = (
    "There is more to be said.",
    "The next step follows from this.",
    "It is worth slowing down here.",
    "Seen from closer by, the picture changes.",
    "A different question now comes into view.",
    "So far the account is incomplete.",
    "Here the details begin to matter.",
)
CLOSERS = (
    "That is why small, patient observations so often turn out to be the useful ones.",
    "Anyone who has tried it for themselves will know the feeling, and smile.",
    "It is a simple thought, and it takes most of us years to arrive at it.",
    "What looks like a detour on the map is often the only road that was ever open.",
    "None of this is settled, which is exactly what makes it worth our while.",
    "The lesson is an old one, and every generation seems to enjoy finding it anew.",
    "It would be a pity to hurry past this point on the way to grander ones.",
    "A little modesty, here as elsewhere, saves a great deal of work later on.",
    "Perhaps that is the nearest thing to a rule that the whole subject has to offer.",
)
INTRODUCTION = (
    "Few subjects reward a second look as well as {topic}. At first sight there seems to be little"
    " left to say: everybody has an opinion, and most opinions are ready-made. Yet the closer one"
    " comes, the more there is to see, and the less the ready-made opinions fit. What follows is a"
    " walk around the matter rather than a march through it, with time to stop where the view is"
    " good."
)
CONCLUSION = (
    "So we come back to where we set out, and {topic} may look a little different from here. No"
    " single point decides the matter; taken together they suggest that curiosity, patience and"
    " good company go a long way. This text, it should be said, was assembled from templates by the"
    " simulated model that is built into jarvis_trio: its manners are real, its knowledge of the"
    " subject is not. For that, connect a language model, and ask again."
)
POEM_NOTE = "(A simulated poem: jarvis_trio put it together from ready-made couplets.)"

# Four couplets make a stanza, one from each row.
COUPLETS: tuple[tuple[tuple[str, str], ...], ...] = (
    (
        ("I went to look for {topic} at dawn,", "when all the stars but one were gone."),
        ("They told me once of {topic}, and then", "I never was the same again."),
        ("A song of {topic} came down the lane,", "as soft and certain as the rain."),
        ("Who speaks of {topic} speaks of light", "that finds a window in the night."),
        ("I wrote of {topic} upon a leaf,", "the letters small, the message brief."),
    ),
    (
        ("The river kept its even pace,", "the morning looked me in the face,"),
        ("A heron stood, a page of grey,", "and read the water all the day,"),
        ("The hills were patient, blue and wide,", "with room for all the world inside,"),
        ("The garden hummed, the hours grew long,", "each bee a syllable of song,"),
    ),
    (
        ("and what I thought I had to say", "took up its hat and walked away."),
        ("and every question that I brought", "was lighter than I would have thought."),
        ("and no one asked me to explain", "the way of wind, the point of rain."),
        ("and something in me, slow to learn,", "sat down beside a bank of fern."),
        ("and though the path was hard to see,", "it seemed to know the way to me."),
        ("and all the bells of all the towns", "let go their silver, floating down."),
        ("and time, that never used to wait,", "stood still beside the garden gate."),
    ),
    (
        ("So let it come and let it go,", "there is no more I need to know."),
        ("I keep it now, a little flame,", "that has no use and needs no name."),
        ("And if you pass there, stop and stay:", "the best of it is on the way."),
    ),
)


def essay(topic: str, paragraphs: int) -> str:
    """Write an essay of exactly so many paragraphs (at least 1), parted by blank lines.

    Each has some sixty words or more; up to 200, no two are alike. The last one says that the
    text is simulated.
    """
    if paragraphs == 1:
        return f"{INTRODUCTION} {CONCLUSION}".format(topic=topic)
    seed = _seed(topic)
    body = [
        f"{OPENERS[(seed + i) % len(OPENERS)]} {ASPECTS[i % len(ASPECTS)]}"
        f" {CLOSERS[(seed + i) % len(CLOSERS)]}"
        for i in range(paragraphs - 2)
    ]
    return "\n\n".join([INTRODUCTION, *body, CONCLUSION]).format(topic=topic)


def poem(topic: str, stanzas: int) -> str:
    """Write a poem of exactly so many stanzas of eight lines, parted by blank lines.

    Lines end in two spaces, a line break in markdown; a last line says that it is simulated.
    """
    seed = _seed(topic)
    verses = []
    for i in range(stanzas):
        couplets = [row[(seed + i) % len(row)] for row in COUPLETS]
        verses.append("  \n".join(line for couplet in couplets for line in couplet))
    return "\n\n".join([*verses, POEM_NOTE]).format(topic=topic)


def _seed(topic: str) -> int:
    # hash() of a text differs from one process to the next.
    return zlib.crc32(topic.casefold().encode("utf-8", "replace"))
