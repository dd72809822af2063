"""What every test starts from."""

import signal

# A shell that runs us in the background has us ignore Ctrl-C, and every process we start would
# inherit that; tests that interrupt something need it to be heard.
signal.signal(signal.SIGINT, signal.default_int_handler)
