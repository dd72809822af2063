"""Slots are found in what is loaded, refilled, and put back."""

from __future__ import annotations

import ctypes
import math

import pytest

from gensyn_lightning.repops import slots


@pytest.fixture
def slot() -> slots.Slot:
    """Return the slot for the cosine that `math` calls."""
    found = [each for library in slots.libraries() for each in slots.slots_of(library, {"cos"})]
    before = math.cos(0.5)
    kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    other = kind(lambda x: 7.0)
    for each in found:
        address = each.read()
        slots.fill({each: ctypes.cast(other, ctypes.c_void_p).value or 0})
        reached = math.cos(0.5) == 7.0
        slots.fill({each: address})
        if reached:
            assert math.cos(0.5) == before
            return each
    raise AssertionError("nothing calls cos for math")


def test_a_slot_holds_the_address_of_the_function_called(slot: slots.Slot) -> None:
    kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    before = math.cos(0.5)
    assert kind(slot.read())(0.5) == before
    assert slot.function == "cos"


def test_libraries_have_places_and_names() -> None:
    found = slots.libraries()
    assert len(set(found)) == len(found)
    assert any("libm" in each.name for each in found)
    assert all(each.dynamic for each in found)


def test_functions_nobody_calls_have_no_slots() -> None:
    for each in slots.libraries():
        assert slots.slots_of(each, {"no_such_function"}) == []


def test_what_the_loader_protects_is_protected_again() -> None:
    protected = [
        each
        for library in slots.libraries()
        for each in slots.slots_of(library, {"cos", "exp", "pow", "free", "malloc"})
        if each.read_only
    ]
    if not protected:
        pytest.skip("no library here has protected slots")
    slots.fill({each: each.read() for each in protected})
    for each in protected:
        assert "w" not in access(each.address)


def access(address: int) -> str:
    with open("/proc/self/maps") as lines:
        for line in lines:
            ends, flags = line.split()[:2]
            start, end = (int(each, 16) for each in ends.split("-"))
            if start <= address < end:
                return flags
    raise AssertionError(f"nothing is mapped at {address:#x}")
