import pytest

from sidestream.sip.admission import Admission, Refusal
from sip_script import request

ADMISSION = Admission(frozenset({"INVITE", "BYE", "INFO"}), frozenset({"timer"}))


def test_what_is_supported_passes() -> None:
    assert ADMISSION.refuse(request(Require="timer")) is None


def test_allow_names_what_the_layer_answers_itself_too() -> None:
    assert ADMISSION.allow == "ACK, BYE, CANCEL, INFO, INVITE"


def test_the_method_is_judged_first() -> None:
    made = request("NOTIFY", Require="magic", Max_Forwards="0")
    assert ADMISSION.refuse(made) == Refusal(405, headers=(("Allow", ADMISSION.allow),))


def test_bodies_are_judged_by_the_rules_given() -> None:
    strict = Admission(frozenset({"INFO"}), frozenset(), {"INFO": frozenset({"application/dtmf-relay"})})
    made = request("INFO", Content_Type="text/plain")
    assert strict.refuse(made) is None
    made.body = b"x"
    assert strict.refuse(made) == Refusal(415, headers=(("Accept", "application/dtmf-relay"),))
    assert ADMISSION.refuse(made) is None


def test_a_disposition_that_cannot_be_read_is_no_leave_to_ignore_a_body() -> None:
    made = request(Content_Type="text/plain", Content_Disposition="x;;")
    made.body = b"x"
    refusal = ADMISSION.refuse(made)
    assert refusal is not None
    assert refusal.status == 415


@pytest.mark.parametrize("name", ["Require", "Accept"])
def test_lists_that_cannot_be_read_are_refused(name: str) -> None:
    made = request()
    made.headers.add(name, '"a, b')
    assert ADMISSION.refuse(made) == Refusal(400, "Unbalanced quote or bracket")
