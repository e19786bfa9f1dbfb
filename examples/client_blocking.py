"""The same without a loop: python examples/client_blocking.py HOST PORT [CA_FILE]"""

import sys

import gatepost


def main(host: str, port: str, ca_file: str | None = None) -> None:
    with gatepost.blocking.connect(host, int(port), ca_file=ca_file) as plain:
        secure = plain.upgrade("smtp")
        print(secure.evidence.version, secure.evidence.group, secure.evidence.peer_names)
        secure.send(b"EHLO client.example\r\n")
        print(secure.readline().decode(), end="")


main(*sys.argv[1:])
