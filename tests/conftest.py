import pytest
import torch
from hypothesis import settings
from tiny_languagebind import short_lists
from toys import SmallEncoder

torch.set_num_threads(1)
# a busy machine must not turn a law into a matter of time
settings.register_profile("laws", deadline=None)
settings.load_profile("laws")


@pytest.fixture(scope="module")
def few_words():
    """A vocabulary of four entries and nine merges in the place of the shipped and CLIP's."""
    with short_lists():
        yield


@pytest.fixture(scope="session")
def encoder():
    return SmallEncoder()
