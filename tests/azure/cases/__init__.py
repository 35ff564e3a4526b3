"""The tests, by what they are about. Each module has run(suite)."""
from . import echoes, faults, http2, identities, network, places, refusals, transfers

SECRETS_AT_LEAST = 30


def no_leaks(suite):
    """Nothing that was secret in any run so far stands in any output or file of it, at the highest verbosity."""
    outputs = "\n".join(suite.runner.all_output)
    bad = ["%s... is in an output" % s[:12] for s in sorted(suite.world.secrets) if s in outputs]
    if not suite.args.names and len(suite.world.secrets) < SECRETS_AT_LEAST:
        bad.append("only %d secrets were looked for" % len(suite.world.secrets))
    suite.say("no secret in any output", bad)


def run_all(suite):
    for module in (identities, refusals, echoes, places, network, transfers, http2, faults):
        module.run(suite)
    no_leaks(suite)
    if not suite.args.names:
        suite.say("%d images were read back by skopeo and umoci" % suite.read_back, [] if suite.read_back > 10 else ["too few"])
    suite.say("the fixture itself is sound", suite.world.broken)
