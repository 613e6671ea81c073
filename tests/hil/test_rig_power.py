# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The power switch of a rig: with commands that leave files, and a web server that notes what it is asked."""

import http.server
import os
import shlex
import socket
import threading

import pytest

from rig import power


@pytest.fixture
def trace(tmp_path):
    """A file, and a command that appends to it."""
    file = tmp_path / "with space"
    file.touch()
    return file, lambda words: f"sh -c {shlex.quote(f'echo {words} >>{shlex.quote(str(file))}')}"


class TestByCommand:
    def test_on_and_off(self, trace):
        file, append = trace
        switch = power.open_power({"cmd_on": append("on"), "cmd_off": append("off")})
        switch.on()
        switch.off()
        switch.on()
        assert file.read_text() == "on\noff\non\n"

    def test_cycle_is_off_a_delay_and_on(self, trace, monkeypatch):
        file, append = trace
        waited = []
        monkeypatch.setattr(power, "sleep", lambda seconds: waited.append((seconds, file.read_text())))
        power.open_power({"cmd_on": append("on"), "cmd_off": append("off"), "delay": 7}).cycle()
        assert (file.read_text(), waited) == ("off\non\n", [(7, "off\n")])
        power.open_power({"cmd_on": append("on"), "cmd_off": append("off")}).cycle()
        assert waited[1][0] == 2.0

    def test_a_cycle_of_its_own(self, trace):
        file, append = trace
        power.open_power({"cmd_on": "false", "cmd_off": "false", "cmd_cycle": append("cycle")}).cycle()
        assert file.read_text() == "cycle\n"

    def test_no_shell_reads_the_command(self, tmp_path):
        file = tmp_path / "a;b $HOME"
        power.open_power({"cmd_on": f"touch '{file}'", "cmd_off": "true"}).on()
        assert file.exists()

    def test_one_that_fails(self):
        switch = power.open_power({"cmd_on": "true", "cmd_off": "sh -c 'echo no such port; echo usb >&2; exit 3'"})
        with pytest.raises(power.PowerError) as failure:
            switch.off()
        assert str(failure.value) == ("power.cmd_off: \"sh -c 'echo no such port; echo usb >&2; exit 3'\" ended with "
                                      "status 3; it said: no such port\nusb")

    def test_a_cycle_stops_at_what_fails(self, trace):
        file, append = trace
        with pytest.raises(power.PowerError, match="power.cmd_off: 'false' ended with status 1; it said: nothing"):
            power.open_power({"cmd_on": append("on"), "cmd_off": "false"}).cycle()
        assert file.read_text() == ""

    def test_a_program_that_is_not_there(self, tmp_path):
        with pytest.raises(power.PowerError, match="power.cmd_on: '.*/none x' can't be run: No such file"):
            power.open_power({"cmd_on": f"{tmp_path}/none x", "cmd_off": "true"}).on()

    def test_one_that_does_not_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr(power, "COMMAND_DEADLINE", 0.5)
        script = tmp_path / "hangs"
        script.write_text(f"echo $$ >{tmp_path}/pid\necho waiting\nsleep 1000\n")
        with pytest.raises(power.PowerError, match=r"still running after 0.5 s and was killed; it said: waiting$"):
            power.open_power({"cmd_on": f"sh {script}", "cmd_off": "true"}).on()
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)

    def test_a_process_left_behind_is_not_waited_for(self, tmp_path):
        script = tmp_path / "leaves"
        script.write_text(f"sleep 1000 &\necho $! >{tmp_path}/pid\n")
        power.open_power({"cmd_on": f"sh {script}", "cmd_off": "true"}).on()
        os.kill(int((tmp_path / "pid").read_text()), 9)  # it was there still


class Switch(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.asked.append((self.command, self.path, body, self.headers.get("Content-Type"),
                                  self.headers.get("Authorization")))
        status = 503 if "broken" in self.path else 200
        said = b"relay <stuck>" if status == 503 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_PUT = do_POST = answer

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.HTTPServer(("127.0.0.1", 0), Switch) as started:
        started.asked = []
        started.address = f"127.0.0.1:{started.server_port}"
        thread = threading.Thread(target=started.serve_forever, args=(0.01,))
        thread.start()
        yield started
        started.shutdown()
        thread.join()


class TestByHttp:
    def test_get(self, server):
        switch = power.open_power({"url_on": f"http://{server.address}/relay/0?turn=on",
                                   "url_off": f"http://{server.address}/relay/0?turn=off", "delay": 0})
        switch.on()
        switch.cycle()
        assert server.asked == [("GET", f"/relay/0?turn={to}", "", None, None) for to in ("on", "off", "on")]

    @pytest.mark.parametrize("method", ["PUT", "POST"])
    def test_bodies(self, server, method):
        url = f"http://{server.address}/outlet"
        switch = power.open_power({"url_on": url, "url_off": url, "method": method, "body_on": '{"on": true}',
                                   "body_off": "state=off"})
        switch.on()
        switch.off()
        assert server.asked == [(method, "/outlet", '{"on": true}', "application/json", None),
                                (method, "/outlet", "state=off", "application/x-www-form-urlencoded", None)]

    def test_a_password_is_sent_and_never_shown(self, server):
        url = f"http://admin:p%40ss@{server.address}"
        switch = power.open_power({"url_on": f"{url}/on", "url_off": f"{url}/broken"})
        switch.on()
        assert server.asked == [("GET", "/on", "", None, "Basic YWRtaW46cEBzcw==")]
        with pytest.raises(power.PowerError) as failure:
            switch.off()
        assert "p%40ss" not in str(failure.value) and "p@ss" not in str(failure.value)

    def test_a_proxy_is_not_asked(self, server, monkeypatch):
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        power.open_power({"url_on": f"http://{server.address}/on", "url_off": f"http://{server.address}/off"}).on()
        assert len(server.asked) == 1

    def test_an_answer_that_is_no_success(self, server):
        url = f"http://{server.address}/broken"
        with pytest.raises(power.PowerError) as failure:
            power.open_power({"url_on": url, "url_off": url}).off()
        assert str(failure.value) == (f"power.url_off: GET {url} was answered 503 Service Unavailable; "
                                      "it said: relay <stuck>")

    def test_nobody_there(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            url = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with pytest.raises(power.PowerError, match=f"power.url_on: GET {url} failed: .*Connection refused"):
            power.open_power({"url_on": url, "url_off": url}).on()

    def test_somebody_who_never_answers(self, monkeypatch):
        monkeypatch.setattr(power, "HTTP_DEADLINE", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            with pytest.raises(power.PowerError, match=f"power.url_on: GET {url} failed: timed out"):
                power.open_power({"url_on": url, "url_off": url}).on()

    def test_somebody_who_speaks_no_http(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            url = f"http://127.0.0.1:{other.getsockname()[1]}/"

            def answer():
                connection, _ = other.accept()
                connection.recv(1000)
                connection.sendall(b"event hello\n")
                connection.close()

            thread = threading.Thread(target=answer)
            thread.start()
            with pytest.raises(power.PowerError, match="power.url_on: GET .* failed: event hello"):
                power.open_power({"url_on": url, "url_off": url}).on()
            thread.join()


class TestSettings:
    def test_no_switch(self):
        assert power.open_power(None) is None

    @pytest.mark.parametrize("settings, message", [
        ({}, "power: expected either cmd_on and cmd_off, or url_on and url_off"),
        ({"cmd_on": "a", "url_off": "http://b"}, "power: expected either cmd_on and cmd_off, or url_on and url_off"),
        ({"cmd_on": "true"}, "power.cmd_off: it is missing"),
        ({"cmd_onn": "true"}, "power.cmd_onn: there is no such key; did you mean cmd_on?"),
        ({"volts": 5}, "power.volts: there is no such key; expected one of: cmd_on, cmd_off, cmd_cycle, "),
        ({"cmd_on": True, "cmd_off": "true"}, "power.cmd_on: expected text, got True: put it in quotes"),
        ({"cmd_on": "true", "cmd_off": "true", "delay": "2"}, "power.delay: expected a number, got '2'"),
        ({"cmd_on": "true", "cmd_off": "true", "delay": -1}, "power.delay: expected seconds, got -1"),
        ({"cmd_on": "true", "cmd_off": ""}, "power.cmd_off: expected a command, got ''"),
        ({"cmd_on": "say 'a", "cmd_off": "true"}, "power.cmd_on: \"say 'a\" is no command: No closing quotation"),
        ({"cmd_on": "true", "cmd_off": "true", "method": "PUT"}, "power.method: it goes with url_on and url_off"),
        ({"url_on": "file:///etc/passwd", "url_off": "http://b"}, "power.url_on: expected http://HOST/… or https://"),
        ({"url_on": "http://b:x/", "url_off": "http://b"}, "power.url_on: expected http://HOST/… or https://HOST/…"),
        ({"url_on": "http://b", "url_off": "http://b", "method": "DELETE"}, "power.method: expected GET, PUT or POST"),
        ({"url_on": "http://b", "url_off": "http://b", "body_on": "1"}, "power.body_on: GET sends none; set method"),
        (["true"], "power: expected keys and values, got ['true']"),
    ])
    def test_mistakes(self, settings, message):
        with pytest.raises(power.PowerError) as failure:
            power.open_power(settings)
        assert str(failure.value).startswith(message)
