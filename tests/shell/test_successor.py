"""Signals on their way from one daemon to the program that it becomes."""

import signal

from atoll_supervisor.shell.successor import hold_signals, keep_signal, take_signals


def test_a_signal_that_comes_too_late_waits_for_the_successor() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    hold_signals()
    try:
        keep_signal()
        assert signal.SIGTERM in signal.sigpending()
        assert signal.sigtimedwait([signal.SIGTERM], 0) is not None
    finally:
        take_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
