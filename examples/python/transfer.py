"""send random bytes to a resource while reading the answer, and compare hashes"""

import hashlib
import os
import sys
import threading
import time

import access
import dial

CHUNK_BYTES = access.DATA_MAX_BYTES


def add_arguments(command):
    dial.add_client_arguments(command)
    command.add_argument("--resource", default="echo", help="one that answers with what it was sent")
    command.add_argument("--bytes", type=int, default=64 << 20, help="how much to send")
    command.add_argument("--rate", type=float, default=0, help="bytes a second to send at most; 0: as fast as it goes")
    command.add_argument("--hold", type=int, default=0, help="after so many bytes wait for a line on standard input")
    command.add_argument("--within", type=float, default=120, help="deadline of the whole call, seconds")


def run(args):
    with dial.dial_entry(args.identity, args.entry) as connection:
        return transfer(access.Channel(connection, args.resource, args.within), args.bytes, args.rate, args.hold)


def transfer(channel, size, rate, hold):
    started = time.monotonic()
    sent = hashlib.sha256()

    def write():
        try:
            for at in range(0, size, CHUNK_BYTES):
                chunk = os.urandom(min(CHUNK_BYTES, size - at))
                sent.update(chunk)
                channel.write(chunk)
                if 0 < hold <= at + len(chunk) < hold + CHUNK_BYTES:
                    dial.tell(holding=at + len(chunk))
                    sys.stdin.readline()
                if rate > 0:
                    time.sleep(max(0, started + (at + len(chunk)) / rate - time.monotonic()))
            channel.close_write()
        except BrokenPipeError:
            # Reading says why.
            pass

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    back = hashlib.sha256()
    count = 0
    for data in channel:
        sixteenths = count * 16 // max(size, 1)
        back.update(data)
        count += len(data)
        if count * 16 // max(size, 1) > sixteenths:
            dial.tell(received=count, of=size)
    writer.join()
    channel.finish()
    seconds = time.monotonic() - started
    return {
        "bytes": size + count,
        "sha256_equal": count == size and sent.digest() == back.digest(),
        "seconds": seconds,
        "mb_per_s": (size + count) / 1e6 / seconds,
    }
