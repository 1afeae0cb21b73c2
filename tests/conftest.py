"""For all tests."""

import signal

# A shell without job control starts what runs in the background deaf to Ctrl-C, and so would be every child here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
