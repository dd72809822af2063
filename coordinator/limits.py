"""Every bound of the coordinator, in one place.

Bounds that belong to the rules (tasks per job, attempts per task, nodes, strings) stand in
`gensyn_lightning.protocol.parameters`; these are the coordinator's own.
"""

from __future__ import annotations

# Work in flight.
OPEN_JOBS_MAX = 1024
OPEN_JOBS_PER_SUBMITTER_MAX = 64
UNFOUNDED_ATTEMPTS_MAX = 2  # tries at a segment whose start state is not accepted yet
FRONTIER_MAX = 64  # segments trained ahead of the last accepted one
PENDING_ERRANDS_MAX = 4096
ANCHOR_BATCH_MAX = 1024
EQUIVOCATIONS_PER_ATTEMPT_MAX = 4
ARBITRATIONS_PER_ATTEMPT_MAX = 8

# Segment sizes, in events.
FIRST_SEGMENT_EVENTS = 16
SEGMENT_GROWTH_MAX = 4
SEGMENT_SHRINK_MAX = 4

NUMERICS_MAX = 8  # arithmetics a node names

# Times, in milliseconds.
PRESENCE_MS = 30_000  # a node that has not called for so long is not drawn
FIRST_CHOICE_MS = 3_000  # how long an open task waits for the node the draw prefers
CLAIM_WAIT_MS_MAX = 20_000
TICK_MS = 200
REDRAW_MS = 500  # how often a draw that found too few nodes is tried again
CONFIRM_AGAIN_MS = 250  # how often an escrow that is not there yet is looked for
RETRY_FIRST_MS = 100
RETRY_LAST_MS = 30_000

ERRAND_TRIES_MAX = 10_000
POSTPONED_NOTES_MAX = 8
EVENTS_STREAM_MS = 25_000  # then the client asks again
PROGRESS_AGAIN_MS = 500  # progress rings no bell, so that nobody else wakes for it
CLAIM_AGAIN_MS = 500  # a waiting node is looked at so often while work lies open for somebody
IDLE_MS = 5_000  # what waits for the clock or for a change looks again so often without either

# Answers and messages.
EXAMINATIONS_MAX = 4  # commitments whose bytes are read at once
EVENTS_PER_BATCH_MAX = 512
EVENTS_PER_JOB_MAX = 1 << 22
COMMANDS_MAX = 256
HOLDING_MAX = 256
ENVELOPE_BYTES_MAX = 1 << 18  # a DSSE envelope
PROGRESS_BYTES_MAX = 1 << 14
STATE_BYTES_MAX = 1 << 36
TAPE_BYTES_MAX = 64 << 20
REASON_BYTES_MAX = 2048
DOSSIER_BYTES_MAX = 1 << 30
ROW_BYTES_MAX = 1 << 22
ACTIONS_PER_ROUND_MAX = 64

# What a job may ask for; the rest is refused at the door.
VERIFIERS_PER_SEGMENT_MAX = 8
REDRAWS_MAX = 16
DURATION_MS_MIN = 100
DURATION_MS_MAX = 90 * 86_400_000
