"""The buffer never grants more than the node has, and neither loses nor doubles a task."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stargen.executing.buffer import TaskBuffer
from stargen.executing.capacity import Capacity, Topology
from stargen.messages import TaskOrder
from stargen.model import Resources

NODE = Resources(cores=6, gpus=2, memory_gib=8, io=2, custom=(("licence", 1.5),))
TOPOLOGY = Topology(((0, 1, 2, 3), (4, 5)), (0, 1))

requests = st.builds(
    Resources,
    cores=st.integers(0, 6),
    gpus=st.sampled_from([0, 0, 0.25, 1 / 3, 0.5, 1, 1.5, 2]),
    memory_gib=st.sampled_from([0, 0.1, 1, 3, 8]),
    io=st.integers(0, 2),
    custom=st.sampled_from([(), (("licence", 0.5),), (("licence", 1.0),)]),
).filter(lambda request: request.cores or request.gpus or request.io)


class Node(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.buffer = TaskBuffer(Capacity(NODE, TOPOLOGY), patience_s=5)
        self.now = 0.0
        self.sent = 0
        self.ended = set()
        self.grants = []

    @rule(
        job=st.integers(0, 2),
        request=requests,
        priority=st.integers(-1, 1),
        count=st.integers(1, 5),
    )
    def accept(self, job, request, priority, count):
        rows = [TaskOrder(self.sent + i, self.sent + i, 0, 1, [], []) for i in range(count)]
        self.sent += count
        self.buffer.accept(job, request, priority, 1, rows)

    @rule(count=st.integers(1, 3))
    def start(self, count):
        line = self.buffer.next(self.now)
        if line is not None:
            grant = self.buffer.grant(line)
            self.grants.append((line, grant, self.buffer.draw(line, count)))

    @precondition(lambda self: self.grants)
    @rule(data=st.data(), ran=st.integers(0, 3))
    def finish(self, data, ran):
        line, grant, rows = self.grants.pop(data.draw(st.integers(0, len(self.grants) - 1)))
        self.ended.update(row.order.n for row in rows[:ran])
        self.buffer.put_back(line, rows[ran:])
        self.buffer.finish(line, grant)

    @rule(job=st.integers(0, 2), count=st.integers(1, 4))
    def give_back(self, job, count):
        self.ended.update(ref.n for ref in self.buffer.give_back(job, count))

    @rule(seconds=st.sampled_from([0.1, 10.0]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def never_more_than_the_node(self):
        self.buffer.capacity.check()

    @invariant()
    def nothing_lost_nothing_doubled(self):
        flying = [row.order.n for _, _, rows in self.grants for row in rows]
        waiting = [ref.n for ref in self.buffer.refs()]
        assert sorted([*flying, *waiting, *self.ended]) == list(range(self.sent))
        assert len(self.buffer) == len(waiting)

    @invariant()
    def an_idle_node_starts_something(self):
        if not self.grants and len(self.buffer):
            assert self.buffer.next(self.now) is not None


TestNode = Node.TestCase
TestNode.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
