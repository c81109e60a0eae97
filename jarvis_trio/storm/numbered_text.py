"""The text of the mock upstream's named answers: what was lost, doubled or crossed shows in it."""

from collections import Counter


def what_is_wrong(text: str, name: str, tokens: int) -> str | None:
    """Say what is wrong with the text of the answer of that name; None when it is right."""
    expected = [f"w{number}@{name}" for number in range(tokens)]
    words = text.split()
    if words == expected:
        return None
    came, due = Counter(words), Counter(expected)
    for word in came - due:
        if word in due:
            return f"{word} came {came[word]} times"
        of_another = "@" in word and not word.endswith(f"@{name}")
        return f"{word} came, " + ("of another answer" if of_another else "which nobody said")
    lost = [word for word in expected if word not in came]
    if lost:
        return f"{len(lost)} of {tokens} words are missing, first {lost[0]}"
    return "the words came out of order"
