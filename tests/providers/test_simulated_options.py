"""The options of the built-in model, as a ``simulated:`` URL sets them."""

import pytest

from jarvis_trio.errors import ConfigError
from jarvis_trio.providers.simulated import SimulatedOptions, parse_simulated


def test_a_bare_url_means_the_defaults() -> None:
    expected = SimulatedOptions(tokens_per_second=50, first_token_ms=150, length=None)
    assert parse_simulated("simulated:") == expected
    assert parse_simulated(" simulated:? ") == expected


def test_every_option_can_be_set_in_the_url() -> None:
    options = parse_simulated("simulated:?tokens_per_second=12.5&first_token_ms=0&length=400")
    assert options == SimulatedOptions(tokens_per_second=12.5, first_token_ms=0, length=400)


def test_a_misspelt_option_is_refused_with_the_nearest_real_one() -> None:
    with pytest.raises(ConfigError, match=r"token_per_sec is .* did you mean tokens_per_second\?"):
        parse_simulated("simulated:?token_per_sec=50")
    with pytest.raises(ConfigError, match=r"lenght is .* did you mean length\?"):
        parse_simulated("simulated:?lenght=400")


@pytest.mark.parametrize(
    "option",
    [
        "tokens_per_second=-1",
        "tokens_per_second=fast",
        "tokens_per_second=nan",
        "tokens_per_second=inf",
        "tokens_per_second=",
        "tokens_per_second",
        "first_token_ms=-0.1",
        "first_token_ms=1e12",
        "length=0",
        "length=1.5",
        "length=100000000000",
        "length=5&length=6",
    ],
)
def test_an_unusable_value_is_refused_by_the_name_of_its_option(option: str) -> None:
    with pytest.raises(ConfigError, match=option.partition("=")[0]):
        parse_simulated(f"simulated:?{option}")


@pytest.mark.parametrize("url", ["", "simulated", "simulated:50", "ollama:http://127.0.0.1:11434"])
def test_a_url_of_another_kind_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(ConfigError, match=r"write simulated: or simulated:\?"):
        parse_simulated(url)
