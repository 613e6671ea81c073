# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""Switches the power of a board, by a command or by HTTP.

  cmd_on, cmd_off   commands, as in labgrid's ExternalPowerDriver; no shell reads them: write sh -c '…' for one
  cmd_cycle         instead of cmd_off and cmd_on, where a command does both
  url_on, url_off   or addresses: http://[USER:PASSWORD@]HOST/…
  method            GET, unless told otherwise: PUT or POST
  body_on, body_off what is sent with PUT or POST
  delay             seconds between off and on (default: 2.0, as in labgrid)
"""

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from time import sleep

from . import settings as rig

COMMAND_DEADLINE = 60.0  # seconds
HTTP_DEADLINE = 10.0  # seconds, for connecting and for each part of the answer
DELAY = 2.0  # seconds: capacitors keep a board up for a while

KNOWN = {"cmd_on": str, "cmd_off": str, "cmd_cycle": str, "url_on": str, "url_off": str, "method": str, "body_on": str,
         "body_off": str, "delay": rig.NUMBER}


class PowerError(Exception):
    """Says which key of the rig it is about, what was tried, its status and what it said."""


class Power:
    """Switches; each method returns when that is done, and raises PowerError if it is not."""

    def __init__(self, settings):
        self.delay = settings.get("delay", DELAY)

    def on(self) -> None:
        self._switch("on")

    def off(self) -> None:
        self._switch("off")

    def cycle(self) -> None:
        self.off()
        sleep(self.delay)
        self.on()


class PowerByCommand(Power):
    def __init__(self, settings):
        super().__init__(settings)
        self._settings = settings
        self._words = {key: rig.words(settings, "power", key, PowerError) for key in settings if key.startswith("cmd_")}

    def _switch(self, to):
        key = f"cmd_{to}"
        what = f"power.{key}: {self._settings[key]!r}"
        try:
            status, out, err = rig.run(self._words[key], COMMAND_DEADLINE)
        except OSError as failure:
            raise PowerError(f"{what} can't be run: {failure.strerror}") from None
        said = rig.last_words(out + err) or "nothing"
        if status is None:
            raise PowerError(f"{what} was still running after {COMMAND_DEADLINE:g} s and was killed; it said: {said}")
        if status:
            raise PowerError(f"{what} ended with status {status}; it said: {said}")

    def cycle(self) -> None:
        if "cmd_cycle" in self._words:
            self._switch("cycle")
        else:
            super().cycle()


class PowerByHttp(Power):
    def __init__(self, settings):
        super().__init__(settings)
        method = settings.get("method", "GET")
        if method not in ("GET", "PUT", "POST"):
            raise PowerError(f"power.method: expected GET, PUT or POST, got {method!r}")
        self._requests = {to: self._request(settings, to, method) for to in ("on", "off")}
        # A switch is beside the rig: a proxy for the rest of the world is no way to it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @staticmethod
    def _request(settings, to, method):
        body = settings.get(f"body_{to}")
        if body is not None and method == "GET":
            raise PowerError(f"power.body_{to}: GET sends none; set method to PUT or POST")
        try:
            url = urllib.parse.urlsplit(settings[f"url_{to}"])
            valid = url.scheme in ("http", "https") and url.hostname and url.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise PowerError(f"power.url_{to}: expected http://HOST/… or https://HOST/…, got {settings[f'url_{to}']!r}")
        user, _, host = url.netloc.rpartition("@")
        request = urllib.request.Request(url._replace(netloc=host).geturl(), method=method,
                                         data=None if body is None else body.encode())
        if user:  # and so a message about the request can't contain them
            request.add_header("Authorization",
                               f"Basic {base64.b64encode(urllib.parse.unquote(user).encode()).decode()}")
        if body is not None:
            request.add_header("Content-Type", content_type(body))
        return request

    def _switch(self, to):
        request = self._requests[to]
        what = f"power.url_{to}: {request.get_method()} {request.full_url}"
        try:
            with self._opener.open(request, timeout=HTTP_DEADLINE) as answer:
                answer.read()
        except urllib.error.HTTPError as failure:
            said = rig.last_words(failure.read().decode(errors="replace")) or "nothing"
            raise PowerError(f"{what} was answered {failure.code} {failure.reason}; it said: {said}") from None
        except urllib.error.URLError as failure:
            raise PowerError(f"{what} failed: {failure.reason}") from None
        except (OSError, http.client.HTTPException) as failure:
            raise PowerError(f"{what} failed: {failure}") from None


def content_type(body):
    try:
        json.loads(body)
        return "application/json"
    except ValueError:
        return "application/x-www-form-urlencoded"


def open_power(settings: dict | None) -> Power | None:
    """None where the rig has no such switch. PowerError for a mistake in the settings."""
    if settings is None:
        return None
    rig.check(settings, "power", KNOWN, PowerError)
    given = {kind for kind in ("cmd", "url") if any(key.startswith(f"{kind}_") for key in settings)}
    if len(given) != 1:
        raise PowerError("power: expected either cmd_on and cmd_off, or url_on and url_off")
    kind = given.pop()
    for key in (f"{kind}_on", f"{kind}_off"):
        if key not in settings:
            raise PowerError(f"power.{key}: it is missing")
    for key in ("method", "body_on", "body_off"):
        if kind == "cmd" and key in settings:
            raise PowerError(f"power.{key}: it goes with url_on and url_off")
    if settings.get("delay", 0) < 0:
        raise PowerError(f"power.delay: expected seconds, got {settings['delay']}")
    return PowerByCommand(settings) if kind == "cmd" else PowerByHttp(settings)
