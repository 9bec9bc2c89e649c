"""Codes and exceptions: one class per code, details kept, messages that say what to do."""

import pickle

import pytest

from kcoro_ipc import errors

CODES = [code for code in errors.CODE_NAMES if code != errors.KC_OK]


@pytest.mark.parametrize("code", CODES, ids=[errors.CODE_NAMES[c] for c in CODES])
def test_every_code_has_one_class_that_carries_it(code):
    error = errors.error_for(code)
    assert type(error) is errors.ERRORS[code]
    assert (error.code, error.name) == (code, errors.CODE_NAMES[code])
    assert str(error) == type(error).advice
    assert ";" in str(error), "what happened; what to do"


def test_no_class_stands_for_two_codes():
    classes = [cls for key, cls in errors.ERRORS.items() if isinstance(key, int)]
    assert len(classes) == len(set(classes)) == len(CODES)


def test_a_closed_channel_is_told_by_the_side():
    assert type(errors.error_for(errors.KC_EPIPE, side="receive")) is errors.EndOfChannel
    assert type(errors.error_for(errors.KC_EPIPE, side="send")) is errors.BrokenResourceError
    assert type(errors.error_for(errors.KC_EPIPE)) is errors.ChannelClosed
    assert type(errors.error_for(errors.KC_EAGAIN, side="send")) is errors.WouldBlock


def test_details_stand_in_the_message_and_as_attributes():
    error = errors.error_for(
        errors.KC_EDQUOT, quota="parked", limit=1024, usage=1024, setting="parked_per_connection"
    )
    assert (error.quota, error.limit, error.usage) == ("parked", 1024, 1024)
    assert error.setting == "parked_per_connection"
    assert str(error).endswith(
        "(quota parked, limit 1024, usage 1024, setting parked_per_connection)"
    )
    assert error.reason is None and error.index is None


def test_a_reason_and_an_index_are_kept_and_none_is_no_detail():
    error = errors.error_for(errors.KC_ECANCELED, "gone", reason="shutting down", index=0)
    assert (error.reason, error.index) == ("shutting down", 0)
    assert str(error) == "gone (reason shutting down, index 0)"
    assert str(errors.error_for(errors.KC_ECANCELED, "gone", reason=None)) == "gone"


def test_a_client_puts_its_own_classes_in_the_table():
    class Paired(errors.WouldBlock, BlockingIOError):
        pass

    table = errors.ERRORS | {errors.KC_EAGAIN: Paired}
    error = errors.error_for(errors.KC_EAGAIN, table=table, index=3)
    assert type(error) is Paired
    assert isinstance(error, BlockingIOError)
    assert error.index == 3


def test_an_unknown_code_is_an_error_that_keeps_the_number():
    error = errors.error_for(-7777)
    assert type(error) is errors.KcoroError
    assert (error.code, error.name) == (-7777, "-7777")
    assert "-7777" in str(error)


def test_an_error_survives_pickling_with_its_details():
    error = errors.error_for(errors.KC_EDQUOT, "full", quota="bytes")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.details) == (type(error), str(error), error.details)


def test_an_invalid_argument_is_a_value_error():
    assert isinstance(errors.error_for(errors.KC_EINVAL), ValueError)
