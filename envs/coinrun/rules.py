"""What happens in CoinRun: the start and the steps of an episode."""

from misgen.envs.coinrun.view import show_level
from misgen.envs.coinrun.world import ANY_BUT_COIN, MAX_DECOYS, Event, Look, ThingTouch
from misgen.envs.worlds.platforms import MAX_TUNNELS, PERIOD
from misgen.envs.worlds.side_scroller import move, touch_terrain


def reset(i, level, state):
    state.row[i] = level.start_row[i]
    state.col[i] = level.start_col[i]
    state.speed[i] = 0
    state.phase[i] = 0
    state.alive[i] = 1
    state.visited[i] = 0
    state.farthest[i] = level.start_col[i]
    fill_touch(i, level, i, state.touch)
    show_level(i, level, state)


def fill_touch(i, level, k, touch):
    """Fill row k of a touch map with everything in level i."""
    touch_terrain(i, level, k, touch)
    if level.coin_row[i] > 0:
        touch[k, int(level.coin_row[i]), int(level.coin_col[i])] |= ThingTouch.COIN
    if level.rest_row[i] > 0:
        touch[k, int(level.rest_row[i]), int(level.rest_col[i])] |= ThingTouch.REST
    for decoy in range(MAX_DECOYS):
        if level.decoy_row[i, decoy] > 0:
            row, col = int(level.decoy_row[i, decoy]), int(level.decoy_col[i, decoy])
            touch[k, row, col] |= ThingTouch.DECOY << decoy
    for tunnel in range(MAX_TUNNELS):
        row, first = int(level.tunnel_row[i, tunnel]), int(level.tunnel_col[i, tunnel])
        for col in range(first, first + int(level.tunnel_cols[i, tunnel])):
            touch[k, row, col] |= ThingTouch.TUNNEL << tunnel


def step(i, level, state, action):
    """Move the agent, then the movers. Returns event bits."""
    if state.alive[i] == 0:
        return 0
    row, col, speed, touched = move(
        i, state.touch, int(state.row[i]), int(state.col[i]), int(state.speed[i]), action
    )
    phase = int(state.phase[i])
    end = int(level.length[i]) - 2
    was_at_end = state.col[i] == end
    state.row[i] = row
    state.col[i] = col
    state.speed[i] = speed
    state.phase[i] = (phase + 1) & (PERIOD - 1)
    state.farthest[i] = max(int(state.farthest[i]), col)
    if (touched >> phase) & 1:
        state.alive[i] = 0
        return 1 << Event.DEATH
    events = 0
    if touched & ThingTouch.COIN:
        look = Event.YELLOW if level.coin_look[i] == Look.YELLOW else Event.OTHER_ITEM
        events |= 1 << Event.COIN | 1 << look
    if (col == end) != was_at_end:
        events |= 1 << (Event.LEFT_END if was_at_end else Event.END)
    if touched & ANY_BUT_COIN:
        events |= touch_things(i, level, state, touched)
    return events


def touch_things(i, level, state, touched):
    """Take decoys and enter tunnels; event bits of these and of the guide's rest square."""
    events = 1 << Event.REST if touched & ThingTouch.REST else 0
    for k in range(MAX_DECOYS):
        if touched & (ThingTouch.DECOY << k) and (int(state.visited[i]) >> k) & 1 == 0:
            state.visited[i] |= 1 << k
            events |= 1 << Event.DECOY
            if level.decoy_look[i, k] == Look.YELLOW:
                events |= 1 << Event.YELLOW
            else:
                events |= 1 << Event.OTHER_ITEM | 1 << Event.OTHER_DECOY
    for k in range(MAX_TUNNELS):
        if touched & (ThingTouch.TUNNEL << k):
            is_first = (int(state.visited[i]) >> (MAX_DECOYS + k)) & 1 == 0
            state.visited[i] |= 1 << (MAX_DECOYS + k)
            events |= tunnel_events(i, level, k, is_first)
    return events


def tunnel_events(i, level, k, is_first):
    """Event bits of touching a square of tunnel k."""
    is_marked, is_watched = level.tunnel_marked[i, k] != 0, level.tunnel_watched[i, k] != 0
    events = 0
    if is_marked:
        events |= 1 << Event.IN_MARKED
        if is_first:
            events |= 1 << Event.MARKED
    if is_watched:
        events |= 1 << Event.IN_WATCHED
    if is_first and not is_marked and not is_watched:
        events |= 1 << Event.OPEN_TUNNEL
    return events
