# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The report of a rig: what it says and in which order, not how it looks."""

import re
import xml.etree.ElementTree as xml

import pytest

from rig import report, svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def made(tmp_path):
    """A report, and how to write it: its page, which has to be well-formed, and its text."""
    filled = report.Report("Hardware-in-the-loop: bench <1>")
    filled.facts = {"target": "bench & co", "realm": "hardware", "board": "rpi4", "kernel": "Linux 6.12"}

    def write():
        path = filled.write(tmp_path / "results")
        assert path == tmp_path / "results/report.html"
        page = xml.fromstring(path.read_text().removeprefix("<!DOCTYPE html>\n"))
        return page, "".join(page.find("body").itertext())

    filled.done = write
    return filled


def plots(folder):
    return {path.name: xml.parse(path).getroot() for path in sorted((folder / "results").glob("*.svg"))}


def words(element):
    return [text.text for text in element.iter(f"{SVG}text")]


class TestFacts:
    @pytest.mark.parametrize("realm, says", [
        ("simulation", "No number here is one of real hardware"),
        ("emulation", "No number here is one of real hardware"),
        ("hardware", "A real board")])
    def test_come_first(self, made, realm, says):
        made.facts["realm"] = realm
        made.add("test_a", "failed", 1.0, output="boom")
        page, text = made.done()
        box = page.find("body/main/section")
        assert box.get("class") == f"target {realm}"
        said = "".join(box.itertext())
        assert said.split()[0] == realm and says in said
        assert [(each.text) for each in box.iter("dt")] == ["target", "board", "kernel"]
        assert [(each.text) for each in box.iter("dd")] == ["bench & co", "rpi4", "Linux 6.12"]
        assert text.index(realm) < text.index("Linux 6.12") < text.index("1 failed") < text.index("test_a")
        assert page.find("head/title").text.startswith(f"{realm.capitalize()}: ")

    @pytest.mark.parametrize("facts", [{}, {"target": "x"}, {"realm": "Hardware!"}])
    def test_of_which_none_says_what_it_was(self, made, facts):
        made.facts = facts
        made.histogram("test_a", "Latency", [1, 2], "us")
        page, text = made.done()
        assert page.find("body/main/section").get("class") == "target unknown"
        assert "nothing here may be taken for a result from there" in text
        assert "A real board" not in text

    def test_stand_in_each_plot_too(self, made, tmp_path):
        made.facts |= {"realm": "simulation", "target": "sim"}
        made.histogram("test_a", "Latency", [1, 2], "us")
        made.timeline("test_a", "Rate", [(0, 1), (1, 2)])
        made.add("test_a", "passed")
        made.done()
        assert len(plots(tmp_path)) == 2
        for picture in plots(tmp_path).values():
            assert "Simulation, target sim" in words(picture)


class TestResults:
    def test_order(self, made):
        made.add("test_plain", "passed", 1)
        made.add("test_skipped", "skipped", 0, "uart_loopback: no such wire")
        made.add("test_measured", "passed", 2)
        made.add("test_bad", "failed", 3, output="assert 1 == 2")
        made.add("test_worse", "error", 4, output="no gateway")
        made.figure("test_measured", "p99", 123.456, "us")
        page, text = made.done()
        places = [text.index(f"test_{each}") for each in ("bad", "worse", "measured", "plain", "skipped")]
        assert places == sorted(places)
        assert "2 failed, 2 passed, 1 skipped, in 10 s." in re.sub(r"\s+", " ", text)
        assert "uart_loopback: no such wire" in text and "assert 1 == 2" in text
        rows = [[cell.text for cell in row] for row in page.iter("tr")]
        assert ["p99", "123.5", "us"] in rows and ["test_skipped", "uart_loopback: no such wire"] in rows
        assert [head.text for head in page.iter("h2")] == ["Failed (2)", "Passed (2)", "Skipped (1)"]

    @pytest.mark.parametrize("outcomes, expected", [
        (["passed", "failed"], "1 failed, 0 passed"), (["failed", "passed"], "1 failed, 0 passed"),
        (["passed", "passed"], "0 failed, 1 passed"), (["skipped", "error"], "1 failed, 0 passed, 0 skipped")])
    def test_the_worst_of_a_test_counts(self, made, outcomes, expected):
        for outcome in outcomes:
            made.add("test_a", outcome, 1.5, output=f"it {outcome}")
        _, text = made.done()
        assert expected in text and ", in 3 s" in text

    def test_two_of_one_name(self, made):
        for name in ("test_a", "test_b", "test_a"):
            made.add(name, "passed")
        assert "0 failed, 3 passed" in made.done()[1]

    def test_one_that_never_ended_has_failed(self, made):
        made.figure("test_a", "edges", 5, "edges")
        page, text = made.done()
        assert "1 failed, 0 passed" in text and "It did not come to an end." in text
        assert page.find(".//article").get("class") == "failed"

    def test_no_such_outcome(self, made):
        with pytest.raises(ValueError, match="test_a: expected one of failed, error, skipped, passed, got 'PASSED'"):
            made.add("test_a", "PASSED")

    def test_none_at_all(self, made):
        assert "0 failed, 0 passed, 0 skipped" in made.done()[1]

    def test_a_long_output_is_cut_at_its_beginning(self, made):
        made.add("test_a", "failed", output="first" + "x" * report.OUTPUT_LIMIT + "last")
        page, text = made.done()
        said = "".join(page.find(".//pre").itertext())
        assert said.startswith("… 9 characters before this are left out\n") and said.endswith("xlast")
        assert "first" not in text

    def test_what_is_wired(self, made):
        made.rig = {"wires": [{"out": "GPIO17", "in": "GPIO27"}], "console": {"port": "/dev/ttyUSB0"}, "uart": None}
        page, _ = made.done()
        said = " ".join(page.find(".//section[@id='rig']").itertext()).split()
        assert said == "What is wired wires out GPIO17 in GPIO27 console port /dev/ttyUSB0 uart None".split()


class TestText:
    NASTY = "<script>alert('x')</script> & \"quotes\" ]]> \x00\x1b[31mred\x7f \ud800 \uffff caf\u00e9 \u20ac"
    SHOWN = "<script>alert('x')</script> & \"quotes\" ]]> \u2400\u241b[31mred\u2421 \ufffd \ufffd caf\u00e9 \u20ac"

    def test_is_escaped_everywhere(self, made, tmp_path):
        nasty = self.NASTY
        made.title = nasty
        made.facts[nasty] = nasty
        made.rig = {nasty: [nasty, {nasty: nasty}]}
        for outcome in ("failed", "passed", "skipped"):
            made.add(nasty + outcome, outcome, 1, nasty, nasty)
        made.figure(nasty + "passed", nasty, nasty, nasty)
        made.histogram(nasty + "passed", nasty, [1, 2, 3], nasty)
        made.timeline(nasty + "passed", nasty, {nasty: [(0, 1)]}, nasty, nasty)
        page, text = made.done()
        assert not list(page.iter("script"))
        assert page.find("body/main/h1").text == self.SHOWN
        assert text.count(self.SHOWN) > 15
        assert [path.parent for path in (tmp_path / "results").rglob("*.svg")] == [tmp_path / "results"] * 2
        assert len(plots(tmp_path)) == 2

    def test_nothing_comes_from_elsewhere(self, made, tmp_path):
        made.histogram("test_a", "Latency", [1, 2], "us")
        made.add("test_a", "passed")
        page, _ = made.done()
        for element in page.iter():
            assert element.tag.rpartition("}")[2] not in ("script", "link", "img", "iframe", "object", "image", "use")
            assert not {"src", "href", "onload", "onclick"} & {name.rpartition("}")[2] for name in element.attrib}
        whole = (tmp_path / "results/report.html").read_text()
        assert "url(" not in whole and "@import" not in whole
        assert set(re.findall(r"https?://[^\"' <]+", whole)) == {"http://www.w3.org/2000/svg"}

    def test_is_readable_by_all(self, made):
        made.add("test_a", "passed")
        made.histogram("test_a", "Latency", [1, 2], "us")
        page, _ = made.done()
        assert page.get("lang") == "en"
        assert all(head.get("scope") == "col" for head in page.iter("th"))
        picture = page.find(f".//{SVG}svg")
        assert picture.get("role") == "img" and picture.get("aria-label").startswith("Latency: 2 values, min 1 us")
        assert "prefers-color-scheme: dark" in page.find("head/style").text


class TestFiles:
    def test_a_plot_is_the_same_in_both_places(self, made, tmp_path):
        made.histogram("test_a[uart0-9600]", "Edge to client, idle", [1, 2, 3], "us")
        made.add("test_a[uart0-9600]", "passed")
        page, _ = made.done()
        (name, picture), = plots(tmp_path).items()
        assert name == "test-a-uart0-9600-Edge-to-client-idle.svg"
        inline = page.find(f".//{SVG}svg")
        assert "".join(inline.itertext()).strip() == "".join(picture.itertext()).strip()

    def test_names_are_all_different_and_stay_in_the_folder(self, made, tmp_path):
        for test in ("a", "A", "a.", "../a", "/a", "..", "/", "x" * 300):
            made.histogram(test, "b", [1], "s")
        made.histogram("a", "b", [1], "s")
        made.done()
        assert len(plots(tmp_path)) == 9
        assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]

    def test_written_twice(self, made, tmp_path):
        made.histogram("a", "b", [1], "s")
        made.done()
        made.done()
        assert len(plots(tmp_path)) == 1


class TestPercentiles:
    @pytest.mark.parametrize("values, percent, expected", [
        (range(1, 101), 50, 50), (range(1, 101), 99, 99), (range(1, 101), 100, 100), (range(1, 101), 0, 1),
        (range(1, 1001), 99, 990), ([7], 50, 7), ([7], 99, 7), ([3, 1, 2], 50, 2), ([1, 2, 3, 4], 50, 2),
        ([1] * 98 + [5, 9], 99, 5), ([1] * 99 + [9], 99, 1)])
    def test_nearest_rank(self, values, percent, expected):
        assert svg.percentile(values, percent) == expected


def bars(picture):
    return [(float(bar.get("x")), float(bar.get("height"))) for bar in picture.iter(f"{SVG}rect")
            if bar.get("class") == "bar"]


class TestHistogram:
    def draw(self, values, unit="us"):
        return xml.fromstring(svg.histogram("Latency", values, unit, "note"))

    def test_marks(self):
        picture = self.draw(range(1, 101))
        assert {"p50 50 us", "p99 99 us", "max 100 us", "note", "Latency"} <= set(words(picture))
        assert picture.find(f"{SVG}desc").text == "100 values, min 1 us, p50 50 us, p99 99 us, max 100 us"
        at = [float(line.get("x1")) for line in picture.iter(f"{SVG}line") if line.get("class") == "mark"]
        left, right = svg.LEFT, svg.RIGHT
        assert at == pytest.approx([left + (right - left) * (value - 1) / 99 for value in (50, 99, 100)], abs=0.1)

    @pytest.mark.parametrize("values, logarithmic", [
        ([1, 100], False), ([1, 101], True), ([0, 1000], False), ([-1, 1000], False), ([5, 5], False),
        ([0.001, 1], True)])
    def test_scale(self, values, logarithmic):
        assert ("us, logarithmic" in words(self.draw(values))) == logarithmic

    def test_on_a_logarithmic_scale_decades_are_equally_wide(self):
        picture = self.draw([1, 10, 100, 1000, 10000])
        at = {text.text: float(text.get("x")) for text in picture.iter(f"{SVG}text")
              if text.get("y") == str(svg.BOTTOM + 18)}
        assert list(at) == ["1", "10", "100", "1,000", "10,000"]
        width = (svg.RIGHT - svg.LEFT) / 4
        assert list(at.values()) == pytest.approx([svg.LEFT + n * width for n in range(5)], abs=0.1)
        assert len(bars(picture)) == 5

    def test_heights_are_counts_and_one_among_many_is_seen(self):
        found = bars(self.draw([1] * 1000 + [2] * 500 + [3]))
        full = (svg.BOTTOM - svg.TOP) / svg.HEADROOM
        assert [height for _, height in found] == pytest.approx([full, full / 2, 1.5], abs=0.1)

    @pytest.mark.parametrize("values", [[], [float("nan")], [float("inf")]])
    def test_of_nothing(self, values):
        assert "nothing was measured" in words(self.draw(values))

    @pytest.mark.parametrize("values", [[5], [0], [-3, -3], [1e-9, 1e9], [0.1] * 7, [2**63, 2**63 + 1]])
    def test_of_odd_values(self, values):
        picture = self.draw(values)
        places = bars(picture)
        assert places and all(svg.LEFT <= x < svg.RIGHT for x, _ in places)


class TestTimeline:
    def draw(self, series, **labels):
        return xml.fromstring(svg.timeline("Rate", series, "note", **labels))

    def points(self, picture):
        return [[tuple(map(float, point.split(","))) for point in line.get("points").split()]
                for line in picture.iter(f"{SVG}polyline")]

    def test_places(self):
        picture = self.draw({"edges/s": [(0, 0), (10, 100), (5, 50)]}, x_label="time, s", y_label="rate")
        middle = ((svg.LEFT + svg.RIGHT) / 2, (svg.TOP + svg.BOTTOM) / 2)
        assert self.points(picture) == [[(svg.LEFT, svg.BOTTOM), middle, (svg.RIGHT, svg.TOP)]]
        assert {"edges/s", "time, s", "rate", "note", "Rate"} <= set(words(picture))
        assert picture.find(f"{SVG}desc").text == "edges/s: 3 points, from 0 to 100"

    def test_the_scale_begins_at_zero(self):
        (_, low), (_, high) = self.points(self.draw({"a": [(0, 90), (1, 100)]}))[0]
        assert svg.BOTTOM - low == pytest.approx(0.9 * (svg.BOTTOM - high), abs=0.1)

    def test_below_zero(self):
        (_, low), (_, high) = self.points(self.draw({"a": [(0, -50), (1, 50)]}))[0]
        assert (low, high) == (svg.BOTTOM, svg.TOP)

    def test_series_differ_by_more_than_colour(self):
        picture = self.draw({name: [(0, n), (1, n)] for n, name in enumerate("abcd")})
        classes = {line.get("class") for line in picture.iter(f"{SVG}polyline")}
        assert len(classes) == 4
        assert set("abcd") <= set(words(picture))

    def test_many_points_are_thinned_and_extremes_kept(self):
        points = [(n, 10) for n in range(200_000)]
        points[123_456] = (123_456, 1000)
        points[77_777] = (77_777, 0)
        drawn, = self.points(self.draw({"a": points}))
        assert len(drawn) <= 4 * (svg.RIGHT - svg.LEFT + 1)
        assert {min(y for _, y in drawn), max(y for _, y in drawn)} == {svg.TOP, svg.BOTTOM}
        assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)

    @pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [(0, float("nan"))]}])
    def test_of_nothing(self, series):
        assert "nothing was measured" in words(self.draw(series))

    @pytest.mark.parametrize("series", [{"a": [(1, 1)]}, {"a": [(0, 0), (1, 0)]}, {"a": [(1, 2), (1, 3)], "b": []}])
    def test_of_odd_values(self, series):
        for line in self.points(self.draw(series)):
            assert all(svg.LEFT <= x <= svg.RIGHT and svg.TOP <= y <= svg.BOTTOM for x, y in line)


class TestTicks:
    @pytest.mark.parametrize("low, high, expected", [
        (0, 10, [0, 2, 4, 6, 8, 10]), (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-5, 5, [-4, -2, 0, 2, 4]), (3, 3, [3]),
        (0, 97, [0, 20, 40, 60, 80])])
    def test_are_round(self, low, high, expected):
        assert svg.ticks(low, high) == pytest.approx(expected)

    @pytest.mark.parametrize("value, said", [(1234567, "1,234,567"), (0.0123456, "0.01235"), (12, "12"), (0, "0"),
                                             (2.5, "2.5"), (1234.5, "1,234"), (float("inf"), "inf")])
    def test_numbers(self, value, said):
        assert svg.number(value) == said
