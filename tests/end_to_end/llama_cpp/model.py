"""A llama model of our own making: random weights, real words, answers that never end.

Nothing is downloaded: llama.cpp needs a file that is well formed, not one that makes sense. What
the model says is word salad; what it costs (a prefill that grows with the prompt, a decode step
per token, a slot) is real.

The residual stream carries a constant in its first channel: every embedding starts with it, and no
layer writes to it. That gives the output layer a bias, which llama has none of, and with it each
token that must not be said (end of sequence, single bytes, half words) is out of reach at any
temperature. So an answer is whole words, and ends at ``max_tokens`` or at the end of the context.
"""

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import TypeAlias

import gguf
import numpy as np
from gguf import TokenType

_VOCABULARY = """
about above across after again air all along also always animal answer apple around ask autumn
back bank bark basket bear because become bed before begin behind bell below between big bird
black blue boat body book both bottle bottom box bread bridge bright bring brother brown build
bus button cake call candle cap car carry castle cat catch centre chair change child circle city
clean clear climb clock close cloud coat cold colour come cook copper corner cotton count
country cross cup cut dance dark daughter day deep desk dinner distance dog door down dream
dress drink drive dry duck dust each early earth east easy eat edge egg eight empty end engine
enough even evening every example eye face fall family far farm fast father feather field fig
fill find fire first fish five flat floor flower fly fold follow food foot forest fork forward
four fox free friend from fruit full game garden gate gentle give glass go gold good grass great
green ground grow half hall hand happy harbour hat have hear heart heavy help high hill hold
home honey horse hour house hundred ice idea inside iron island join journey jump just keep key
kind kitchen kite know lake lamp land large last laugh leaf learn leave left lemon letter light
line lion listen little long look low made make map market meadow mean measure metal middle milk
minute mirror money moon morning mother mountain mouse mouth move much music name near needle
nest never new next night nine noise north nothing now number ocean oil old once one onion open
orange other
"""

WORDS = tuple(_VOCABULARY.split())
"""Each is one token of a prompt, and all that an answer is made of."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'] + ': ' + message['content'] + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)

_SPACE = "\u2581"
_LETTERS = "etaoinshrdlcumwfgypbvkjxqzETAOINSHRDLCUMWFGYPBVKJXQZ0123456789.,:;!?'\"()-/"
_HEAD_WIDTH = 16
_CONSTANT = 4.0

Weights: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def words(count: int, *, first: int = 0) -> str:
    """Return ``count`` words, so as many prompt tokens; another ``first`` is another beginning."""
    return " ".join(islice(cycle(WORDS), first, first + count))


def write_model(
    path: Path, *, layers: int = 104, embedding: int = 128, context: int = 32_768
) -> None:
    """Write a model that llama.cpp loads, the same file every time.

    ``embedding`` is a multiple of 16; the defaults make 56 MB. Many thin layers rather than a few
    wide ones: what a layer costs whatever its width is paid per token in decode and per batch in
    prefill. So answers are slow enough to be cut short, and prompts quick enough to be waited for.
    """
    tokens = list(_vocabulary())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("word salad")
    writer.add_context_length(context)
    writer.add_embedding_length(embedding)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(embedding * 5 // 2)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_key_length(_HEAD_WIDTH)
    writer.add_value_length(_HEAD_WIDTH)
    writer.add_rope_dimension_count(_HEAD_WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)

    writer.add_tokenizer_model("llama")
    writer.add_token_list([text.encode() for text, _ in tokens])
    # SentencePiece joins the pair with the best score first; longer pieces come later in the list.
    writer.add_token_scores([-float(rank) for rank in range(len(tokens))])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)

    for name, weights in _tensors(tokens, layers, embedding):
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary() -> Iterator[tuple[str, TokenType]]:
    yield "<unk>", TokenType.UNKNOWN
    yield "<s>", TokenType.CONTROL
    yield "</s>", TokenType.CONTROL
    for byte in range(256):
        yield f"<0x{byte:02X}>", TokenType.BYTE
    for letter in (_SPACE, *_LETTERS):
        yield letter, TokenType.NORMAL
    # SentencePiece grows a word letter by letter and stops at a gap: each beginning is a piece too.
    beginnings = {_SPACE + word[:end] for word in WORDS for end in range(1, len(word) + 1)}
    for piece in sorted(beginnings, key=lambda piece: (len(piece), piece)):
        yield piece, TokenType.NORMAL


def _tensors(
    tokens: list[tuple[str, TokenType]], layers: int, embedding: int
) -> Iterator[tuple[str, Weights]]:
    generator = np.random.default_rng(seed=20_260_101)
    feed_forward = embedding * 5 // 2

    def random(rows: int, columns: int) -> Weights:
        weights = generator.standard_normal((rows, columns), dtype=np.float32)
        weights *= columns**-0.5
        return weights

    def beside_the_constant(
        columns: int,
    ) -> Weights:
        weights = random(embedding, columns)
        weights[0] = 0
        return weights

    ones = np.ones(embedding, dtype=np.float32)
    embeddings = generator.standard_normal((len(tokens), embedding), dtype=np.float32)
    embeddings[:, 0] = _CONSTANT
    yield "token_embd.weight", embeddings
    for layer in range(layers):
        yield f"blk.{layer}.attn_norm.weight", ones
        yield f"blk.{layer}.attn_q.weight", random(_HEAD_WIDTH, embedding)
        yield f"blk.{layer}.attn_k.weight", random(_HEAD_WIDTH, embedding)
        yield f"blk.{layer}.attn_v.weight", random(_HEAD_WIDTH, embedding)
        yield f"blk.{layer}.attn_output.weight", beside_the_constant(_HEAD_WIDTH)
        yield f"blk.{layer}.ffn_norm.weight", ones
        yield f"blk.{layer}.ffn_gate.weight", random(feed_forward, embedding)
        yield f"blk.{layer}.ffn_up.weight", random(feed_forward, embedding)
        yield f"blk.{layer}.ffn_down.weight", beside_the_constant(feed_forward)
    yield "output_norm.weight", ones
    said = {_SPACE + word for word in WORDS}
    output = generator.standard_normal((len(tokens), embedding), dtype=np.float32)
    output *= embedding**-0.5 * 3
    output[:, 0] = [0 if text in said else -1000 for text, _ in tokens]
    yield "output.weight", output
