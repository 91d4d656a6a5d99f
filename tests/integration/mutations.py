"""Each rule left out in turn must be caught, each time; with the rule back its interleaving must pass, each time.

tests/integration/mutations [--runs N] [rule ...]
"""
import argparse
import sys
import time

from interleavings import RULES, damage_of


def main():
    parser = argparse.ArgumentParser(prog="tests/integration/mutations", description="Breaks rules and sees that tests catch it.")
    parser.add_argument("--runs", type=int, default=1, help="times that each rule is broken and mended (1)")
    parser.add_argument("rule", nargs="*", help="all when none is named: " + ", ".join(RULES))
    options = parser.parse_args()
    wrong = False
    for rule in options.rule or RULES:
        red = green = 0
        began = time.monotonic()
        for _ in range(options.runs):
            found = damage_of(rule, broken=True)
            red += bool(found)
            left = damage_of(rule, broken=False)
            green += not left
            for line in left:
                print(f"  {rule}, rule in force: {line}")
        example = f"; for example {found[0][:160]}" if found else ""
        print(f"{rule}: {red} of {options.runs} red without the rule, {green} of {options.runs} green with it"
              f" ({time.monotonic() - began:.0f} s){example}", flush=True)
        wrong |= red != options.runs or green != options.runs
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
