import threading
import time

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from vitret.measure.threads import each, thread_count


def products():
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.mark.parametrize("threads", [1, 3])
def test_every_item_is_worked_on_once_while_each_thread_multiplies_alone(threads):
    seen, inside, lock = [], set(), threading.Lock()

    def work(item):
        with lock:
            seen.append(item)
            inside.update(products())

    before = products()
    each(work, range(40), threads=threads)
    assert sorted(seen) == list(range(40))
    assert inside == {1}
    assert products() == before


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_items_error_is_raised_and_the_rest_is_left(threads):
    seen = []

    def work(item):
        seen.append(item)
        if item in (3, 5):
            raise ValueError(str(item))
        if item > 5:
            time.sleep(0.01)  # the rest takes seconds, so that the caller's thread has time to stop it

    with pytest.raises(ValueError, match="3"):
        each(work, range(1000), threads=threads)
    assert len(seen) < 1000


def test_as_many_threads_as_the_product_may_take():
    with threadpool_limits(1):
        assert thread_count() == 1
