"""Every target of the Python code."""

from fuzz import machine_targets, sip_targets, siprec_targets, text_targets
from fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        *sip_targets.TARGETS,
        *text_targets.TARGETS,
        *siprec_targets.TARGETS,
        *machine_targets.TARGETS,
    )
}
