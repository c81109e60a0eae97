"""Nothing: our server as it is."""


def break_it() -> None:
    pass
