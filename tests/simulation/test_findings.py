"""Faults that once broke a promise, each as a history of its own: nothing is left to chance here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from tests.simulation.airflow import TaskInstance
from tests.simulation.choices import Choices
from tests.simulation.history import Result, run
from tests.simulation.network import Outage
from tests.simulation.triggerers import Triggerer
from tests.simulation.world import Hang, World

if TYPE_CHECKING:
    from collections.abc import Callable

FOREVER = 3600.0


class Story:
    """A world in which nothing happens by chance; ``outages`` are (begins, ends, what, fault)."""

    def __init__(
        self,
        *outages: tuple[float, float, str, str],
        instances: int = 1,
        lag: float = 0.0,
        runs_for: float = 100.0,
    ) -> None:
        self.world = World(Choices(0, []))
        self._outages, self._instances = outages, instances
        self._lag, self._runs_for = lag, runs_for
        self._then: list[tuple[float, Callable[[], None]]] = []
        self.arguments: dict[str, Any] = {}
        self.odd_date = 0
        self.shown_at: dict[str, float] = {}  # when lists show a batch, later than is documented
        self.message: str | None = None

    def at(self, time: float, act: Callable[[], None]) -> Story:
        self._then.append((time, act))
        return self

    @property
    def first(self) -> TaskInstance:
        instance: TaskInstance = self.world.instances[0]
        return instance

    def kill(self) -> None:
        """Kill the worker of the first task instance."""
        worker = self.first.current
        assert worker is not None
        worker.process.kill()
        self.first.on_death(worker, frozen=False)

    def freeze(self, seconds: float) -> None:
        """Have the worker of the first task instance stand still."""
        worker = self.first.current
        assert worker is not None
        worker.process.freeze(seconds)
        self.first.on_death(worker, frozen=True, seconds=seconds)

    def play(self) -> Result:
        return run(self.world, self._prepare)

    def _prepare(self, world: World) -> None:
        make = world.service.make

        def made(*args: Any) -> Any:
            batch = make(*args)
            batch.visible = min(batch.at + self._lag, args[4])
            batch.ends_at = batch.results_at = batch.at + self._runs_for
            if batch.key in self.shown_at:
                batch.is_late, batch.visible = True, self.shown_at[batch.key]
            batch.odd_date, batch.message = self.odd_date, self.message
            return batch

        world.service.make = made  # type: ignore[method-assign, assignment]
        world.network.outages = [Outage(*outage) for outage in self._outages]
        Triggerer(world, "triggerer-0")
        for number in range(self._instances):
            arguments = {
                "waits": True,
                "deferrable": True,
                "poll_interval": 30.0,
                "timeout": 7200.0,
                "retry_delay": 1.0,
            }
            instance = TaskInstance(
                world, f"task-{number}", f"dir-{number}", f"cfg-{number}", **(arguments | self.arguments)
            )
            world.clockwork.at(0.0, instance.start)
        for time, act in self._then:
            world.clockwork.at(time, act)


def paid_once(story: Story) -> World:
    """Play a story in which one batch is wanted."""
    result = story.play()
    assert not result.violation
    assert len(story.first.batches) == 1
    assert story.first.state == "success"
    return story.world


# Money


@pytest.mark.parametrize("fault", ["gateway 404", "api 404"])
def test_one_404_at_a_retry_long_after_the_submission_pays_no_second_batch(fault):
    story = Story((400.0, 403.0, "get", fault), runs_for=1000.0)
    story.arguments = {"deferrable": False}
    paid_once(story.at(399.0, story.kill))


def test_a_directory_s_list_that_lags_and_a_later_refusal_pay_no_second_batch():
    story = Story(
        (0.0, 1.0, "post", "lost after"), (1.0, 300.0, "post", "api 402"), lag=20.0, runs_for=1000.0
    )
    paid_once(
        story.at(
            100.0,
            lambda: story.first.clear(),  # noqa: PLW0108  # there is none before it is played
        )
    )


def test_a_gateway_s_404_to_a_second_post_leaves_the_first_one_s_intent():
    story = Story((0.0, 1.0, "post", "lost after"), (1.0, 300.0, "post", "gateway 404"), lag=50.0)
    paid_once(story)


@pytest.mark.parametrize("moment", [0.03, 0.05, 0.07, 0.09])
def test_a_process_that_stands_still_before_its_post_sends_nothing_when_it_goes_on(moment):
    story = Story()
    paid_once(story.at(moment, lambda: story.freeze(700.0)))


def test_a_lost_batch_that_appears_between_two_lists_is_adopted():
    story = Story((0.0, 1.0, "post", "lost after"), (1.0, 300.0, "list", "slow"), lag=58.0)
    paid_once(story)


def test_an_old_batch_among_a_thousand_is_not_adopted():
    story = Story((0.5, 2.0, "post", "lost after"), runs_for=5.0)

    def strangers() -> None:
        for _ in range(1200):
            story.world.service.make(None, None, "dir-0", "cfg-0", float("inf"))

    story.at(-1.0, strangers)
    story.arguments = {"waits": False}
    paid_once(story)


@pytest.mark.parametrize("fault", ["no id", "odd id"])
def test_a_response_without_a_usable_id_is_a_lost_response(fault):
    paid_once(Story((0.0, 1.0, "post", fault)))


def test_a_worker_killed_right_after_its_post_pays_no_second_batch():
    story = Story(lag=58.0)
    paid_once(story.at(0.12, story.kill))


def test_a_webhook_that_renders_differently_at_a_retry_pays_no_second_batch():
    story = Story(lag=58.0)

    def render_again() -> None:
        story.kill()
        story.first.create = calls.create_batch(
            source_directory_id="dir-0",
            configuration_id="cfg-0",
            webhook_configurations=[{"webhook_url": "https://example.com/at-another-moment"}],
        )

    paid_once(story.at(0.12, render_again))


@pytest.mark.parametrize("number", ["NaN", "1e300", "-1e300", "1" + "0" * 400])
def test_a_record_whose_time_is_none_fails_the_task_and_pays_nothing(number):
    record = (
        '{"version": 1, "fingerprint": "", "max_tries": 2, "seen": [], "batch_id": "", "intended_at": NUMBER}'
    )
    story = Story()
    story.at(-1.0, lambda: setattr(story.first, "stored", record.replace("NUMBER", number)))
    ends: list[str] = []
    result = story.at(60.0, lambda: ends.append(story.first.state)).play()
    assert ends == ["failed"]
    assert not story.first.batches
    assert result.promise == "comes to an end"  # not by itself, as its message says: a person has to look


def test_a_post_carried_out_twice_on_its_way_is_told_of_in_a_warning():
    story = Story((0.0, 1.0, "post", "twice"))
    assert not story.play().violation
    assert [batch.key for batch in story.first.batches] == ["bat-0", "bat-1"]
    assert any("bat-0, bat-1" in line or "bat-1, bat-0" in line for line in story.world.warnings)


def test_a_directory_s_list_that_says_failed_of_a_running_batch_pays_no_second_one():
    story = Story((0.0, 1.0, "post", "lost after"), (1.0, 400.0, "list", "failed early"), runs_for=1000.0)
    paid_once(story.at(0.7, story.kill))


def test_a_get_that_says_gone_and_a_list_that_says_failed_of_a_running_batch_pay_no_second_one():
    outages = (400.0, 440.0, "get", "api 404"), (400.0, 440.0, "list", "failed early")
    story = Story(*outages, runs_for=1000.0)
    story.arguments = {"deferrable": False}
    paid_once(story.at(399.0, story.kill))


@pytest.mark.parametrize("by", [-900.0, -30.0, 30.0, 900.0])
def test_a_clock_that_is_set_while_a_batch_is_looked_for_pays_no_second_one(by):
    story = Story((0.0, 1.0, "post", "lost after"), lag=58.0)

    def set_clock() -> None:
        for worker in story.first.workers:
            worker.process.ahead += by

    paid_once(story.at(20.0, set_clock))


def test_a_batch_from_before_a_clear_is_not_returned_when_a_refused_try_had_it_and_lists_leave_it_out():
    lists = (400.0, 408.0, "list", "omits")
    story = Story(
        lists, (400.0, 410.0, "post", "api 403"), (410.0, 420.0, "post", "lost before"), runs_for=5.0
    )
    story.arguments = {"waits": False}
    story.at(
        400.0,
        lambda: story.first.clear(),  # noqa: PLW0108
    )
    assert not story.play().violation
    assert story.first.batch_id == "bat-1"


@pytest.mark.parametrize("refusal", ["api 402", "refused"])
def test_what_a_post_of_unknown_outcome_made_is_not_forgotten_when_later_ones_are_refused(refusal):
    story = Story((0.0, 30.0, "post", "lost after"), (30.0, 200.0, "post", refusal), runs_for=600.0)
    story.arguments, story.shown_at = {"retry_delay": 60.0}, {"bat-0": 150.0}
    paid_once(story)


def test_a_batch_from_before_two_clears_that_lists_show_late_is_not_taken_for_the_new_one():
    story = Story((300.0, 315.0, "post", "lost after"), lag=5.0, runs_for=20.0)
    story.shown_at = {"bat-0": 308.0, "bat-1": 308.0}
    for time in (200.0, 300.0):
        story.at(time, lambda: story.first.clear())  # noqa: PLW0108  # as above
    result = story.play()

    assert not result.violation
    assert story.first.given.keys() == {"bat-0", "bat-1", "bat-2"}


# Waits


def test_a_nul_in_what_the_service_says_of_a_file_reaches_no_xcom():
    story = Story()
    story.message = "no\0pe \x1b[31m"
    paid_once(story)


@pytest.mark.parametrize("seconds", [31.0, 600.0, -5.0])
def test_a_look_up_of_the_connection_that_hangs_once_hangs_no_wait(seconds):
    story = Story(instances=3)
    story.world.hangs.append(Hang(4.0, 30.0, seconds))
    ends: list[set[str]] = []
    story.at(200.0, lambda: ends.append({instance.state for instance in story.world.instances}))
    assert not story.play().violation
    assert ends == [{"success"}]


@pytest.mark.parametrize("instances", [1, 3])
def test_a_list_that_says_failed_of_what_still_runs_ends_no_wait(instances):
    story = Story((12.0, 90.0, "list", "failed early"), instances=instances)
    assert not story.play().violation
    assert all(instance.try_number == 1 for instance in story.world.instances)


def test_no_request_that_drips_outlives_its_time():
    story = Story((0.0, 200.0, "any", "drips"))
    taken: list[int] = []
    story.at(199.0, lambda: taken.append(len(story.world.network.under_way)))
    paid_once(story)
    assert taken == [1]


def test_a_response_with_a_nul_reaches_neither_event_nor_log():
    story = Story((15.0, FOREVER, "any", "api 400 with a NUL"))
    result = story.play()
    assert not result.violation
    assert story.first.ended_as == "refused"


@pytest.mark.parametrize("what", ["get", "list"])
@pytest.mark.parametrize("fault", ["drips", "slow", "refused", "broken"])
def test_waits_end_while_one_kind_of_request_is_broken(what, fault):
    story = Story((5.0, 400.0, what, fault), instances=4)
    assert not story.play().violation
    assert all(instance.state == "success" for instance in story.world.instances)


def test_requests_for_single_batches_go_on_while_lists_drip_after_trouble():
    story = Story((12.0, 20.0, "get", "refused"), (5.0, FOREVER, "list", "drips"), instances=4)
    result = story.play()
    assert not result.violation
    assert all(instance.state == "success" for instance in story.world.instances)


def test_a_retry_after_of_a_day_silences_nothing_for_a_day():
    story = Story((10.0, 25.0, "any", "api 429 for a day"))
    paid_once(story)


@pytest.mark.parametrize("fault", ["gateway 401", "gateway 403", "gateway 404", "problem"])
def test_what_a_gateway_says_ends_no_wait(fault):
    paid_once(Story((10.0, 200.0, "any", fault)))


def test_collecting_the_results_is_part_of_the_wait():
    paid_once(Story((110.0, 500.0, "get", "api 5xx")))


def test_a_directory_s_list_without_an_end_pays_nothing_and_ends():
    story = Story((0.0, 30.0, "list", "endless"))
    paid_once(story)


@pytest.mark.parametrize("odd", [1, 2, 3, 4])
def test_an_odd_date_of_creation_ends_no_wait(odd):
    story = Story(instances=3)
    story.odd_date = odd
    assert not story.play().violation
    assert all(instance.state == "success" for instance in story.world.instances)


def test_a_worker_that_waits_gives_up_at_its_deadline_though_nothing_answers():
    story = Story((5.0, FOREVER, "get", "drips"), runs_for=FOREVER)
    story.arguments = {"deferrable": False, "timeout": 90.0}
    ends: list[float] = []
    story.at(94.0, lambda: ends.append(float(story.first.state == "failed")))
    assert not story.play().violation
    assert ends == [1.0]


def test_a_key_changed_within_a_minute_ends_no_wait():
    story = Story(runs_for=300.0)

    def refuse() -> None:
        story.world.service.key = "llx-second"

    def change() -> None:
        story.world.connection_key = "llx-second"

    paid_once(story.at(100.0, refuse).at(145.0, change))


def test_a_list_that_says_completed_too_early_is_not_believed_in_the_end():
    story = Story((15.0, 60.0, "list", "early"), instances=3)
    story.world.network.faults = ("early",)
    assert not story.play().violation
    assert all(instance.state == "success" for instance in story.world.instances)


def test_a_worker_s_clock_an_hour_ahead_does_not_delay_the_first_poll_by_an_hour():
    story = Story(runs_for=20.0)
    story.world.nature.ahead = 3400.0
    done: list[str] = []
    story.at(120.0, lambda: done.append(story.first.state))
    paid_once(story)
    assert done == ["success"]


def test_a_killed_triggerer_s_wait_goes_on_elsewhere():
    story = Story(runs_for=300.0)
    paid_once(
        story.at(
            50.0,
            lambda: story.world.triggerers[0].kill(),  # noqa: PLW0108
        )
    )
