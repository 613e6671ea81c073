# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""A chip of the kernel's PWM, as it shows them in /sys/class/pwm, but of files that only remember."""


class PwmChip:
    """All of its channels have been exported."""

    def __init__(self, folder, channels=2):
        self.folder = folder
        self.folder.mkdir()
        (folder / "npwm").write_text(f"{channels}\n")
        (folder / "export").write_text("")
        for channel in range(channels):
            files = folder / f"pwm{channel}"
            files.mkdir()
            for name in ("period", "duty_cycle", "enable"):
                (files / name).write_text("0\n")
            (files / "polarity").write_text("normal\n")

    def name(self, channel=0):
        """For the option --pwm."""
        return f"{self.folder}:{channel}"

    def says(self, name, channel=0):
        # A number that is written over a longer one leaves some of that, after the end of its line.
        return int((self.folder / f"pwm{channel}" / name).read_text().splitlines()[0])

    def pulses(self, channel=0):
        """Period and width, in nanoseconds; nothing if it is off."""
        if not self.says("enable", channel):
            return None
        return self.says("period", channel), self.says("duty_cycle", channel)

    def break_file(self, name, channel=0):
        """What a gateway that opens it from now on writes there fails."""
        path = self.folder / f"pwm{channel}" / name
        path.unlink()
        path.symlink_to("/dev/full")
