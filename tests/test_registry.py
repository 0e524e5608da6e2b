"""Names for pluggable parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialogue_gym.registry import Registry, check_options, nearest


class Part:
    def __init__(self, size: int, colour: str = "red", **context: object) -> None:
        self.size, self.colour, self.context = size, colour, context


def small(size=1):
    return Part(size)


def needy(path, size=1):
    return Part(size)


@pytest.fixture
def parts():
    registry = Registry("part")
    registry.register("small", small)
    registry.register("needy", needy)
    registry.register("open", Part)
    return registry


def test_a_part_by_name_dict_or_object(parts):
    assert parts.build("small").size == 1
    spec = {"name": "small", "size": 3}
    assert parts.build(spec).size == 3
    assert spec == {"name": "small", "size": 3}
    part = Part(5)
    assert parts.build(part) is part
    assert parts.build({"name": "open", "size": 2}, kind="math").context == {"kind": "math"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smal", "unknown part 'smal': did you mean 'small'"),
        ("zzz", "valid names: 'needy', 'open', 'small'"),
        ({"size": 3}, "needs a 'name'"),
        ({"name": 3}, "needs a 'name'"),
        ({"name": "small", "sise": 3}, "part 'small' has no option 'sise': did you mean 'size'"),
        ({"name": "small", "path": 3}, "part 'small' has no option 'path': valid for 'needy'"),
        ("needy", "part 'needy': missing a required argument: 'path'"),
    ],
)
def test_bad_specs_are_one_clear_line(parts, spec, message):
    with pytest.raises(ValueError, match=message) as error:
        parts.build(spec)
    assert "\n" not in str(error.value)


def test_a_name_is_taken_once(parts):
    with pytest.raises(ValueError, match="'small' is registered already"):
        parts.register("small", small)
    assert parts.names() == ["needy", "open", "small"]


def test_errors_of_a_factory_come_through():
    def broken():
        raise TypeError("inside")

    registry = Registry("part")
    registry.register("broken", broken)
    with pytest.raises(TypeError, match="inside"):
        registry.build("broken")


def test_open_functions_take_any_option():
    check_options(Part, {"anything": 1}, "Part")


@given(st.text(), st.lists(st.text(), min_size=1))
def test_nearest_names_something_valid(name, valid):
    assert any(repr(v) in nearest(name, valid) for v in valid)


def test_a_class_in_place_of_an_object_is_refused() -> None:
    class Blunt:
        pass

    with pytest.raises(ValueError, match=r"a thing must be an object, not a class: give Blunt\(\.\.\.\)"):
        Registry[object]("thing").build(Blunt)
