"""What a start does anew because something it was made from has changed."""

from devserver.supervisor.preparation import assets
from studio.assets import SOURCES


def test_a_change_of_any_layer_of_the_stylesheet_is_collected_at_the_next_start():
    layers = set(SOURCES.rglob("*.css"))
    assert layers
    assert layers <= set(assets())
