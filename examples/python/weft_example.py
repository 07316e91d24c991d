"""A client of Weft in Python. Everything it knows of Weft is generated from proto/ by stock plugins (gen/python): the rest is
grpcio, grpcio-status and, for a node's key and request, cryptography.

    PYTHONPATH=gen/python python examples/python/weft_example.py transfer --identity ./laptop

Each subcommand prints one JSON object on standard output; what happens meanwhile goes to standard error. See README.md.
"""

import argparse
import json
import sys

import grpc

import enroll
import refusals
import transfer
import watch


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for module in (transfer, refusals, watch, enroll):
        command = commands.add_parser(module.__name__, help=module.__doc__.splitlines()[0])
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser.parse_args()


def main():
    args = arguments()
    try:
        answer = args.run(args)
    except grpc.RpcError as error:
        sys.exit(f"weft_example: {refusals.explain(error)}")
    except (OSError, ValueError) as error:
        sys.exit(f"weft_example: {error}")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
