"""Scalar vocabulary of grids shared by the families: cells, neighbours, floods.

A cell of an H x W grid is also its index row * W + col.
"""

import numpy as np

ROW_STEP = np.array([0, -1, 0, 1, 0], np.int64)  # stay, up, left, down, right
COL_STEP = np.array([0, 0, -1, 0, 1], np.int64)


def bit_count(bits):
    """Number of set bits of an integer >= 0."""
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


# The 3x3 blocks in the corners of a board of `size` cells a side, border included. Corners count
# north-east, north-west, south-east, south-west; offsets in a block count row by row.
BLOCK_CELLS = 9
NORTH_EAST = 0


def in_corner(row, col, size):
    """Whether an inner cell belongs to a corner block."""
    return (row <= 3 or row >= size - 4) and (col <= 3 or col >= size - 4)


def block_cell(corner, offset, size, width):
    """Cell index, on a grid of `width` columns, of an offset of a corner block."""
    row = 1 + offset // 3 + (size - 5) * (corner // 2)
    col = 1 + offset % 3 + (size - 5) * (1 - corner % 2)
    return row * width + col


def block_offset(row, col, size):
    """The offset of a cell of a corner block, whichever it is: the inverse of `block_cell` where
    the blocks do not overlap (size >= 8)."""
    row = row - 1 if row <= 3 else row - (size - 4)
    col = col - 1 if col <= 3 else col - (size - 4)
    return 3 * row + col


def flood(i, wall, stop, row, col, size, queue, seen):
    """Cells reachable from (row, col) without entering a wall or leaving a `stop` cell.

    Args:
        wall: uint8 [n, H, W], 1 = wall; the used square [0, size) has a border of walls.
        stop: uint8 [n, H, W], 1 = may be entered, not left; the start is left even so.
        queue: int16 [n, >= H * W], scratch.
        seen: uint8 [n, H, W], becomes 1 on reached cells and 0 elsewhere in the square.
    """
    for r in range(size):
        for c in range(size):
            seen[i, r, c] = 0
    queue[i, 0] = row * 128 + col
    seen[i, row, col] = 1
    head, tail = 0, 1
    while head < tail:
        row, col = int(queue[i, head]) >> 7, int(queue[i, head]) & 127
        head += 1
        if stop[i, row, col] and head > 1:
            continue
        for direction in range(1, 5):
            to_row, to_col = row + ROW_STEP[direction], col + COL_STEP[direction]
            if wall[i, to_row, to_col] == 0 and seen[i, to_row, to_col] == 0:
                seen[i, to_row, to_col] = 1
                queue[i, tail] = to_row * 128 + to_col
                tail += 1


def read_board(text: str, glyphs: str, max_size: int) -> list[str]:
    """The lines of a drawing of a closed square board.

    Raises:
        ValueError: the board is not square, too large, not closed by walls '#', has an unknown
            glyph, or does not have exactly one agent 'A'.
    """
    board = [line.strip() for line in text.strip().splitlines()]
    size = len(board)
    if any(len(line) != size for line in board) or not 3 <= size <= max_size:
        widths = sorted({len(line) for line in board})
        raise ValueError(
            f"a board is a square of 3 to {max_size} cells a side; "
            f"got {size} lines of {widths} cells"
        )
    unknown = sorted(set("".join(board)) - set(glyphs))
    if unknown:
        raise ValueError(f"the glyphs of a board are {glyphs!r}; got {''.join(unknown)!r}")
    edge = board[0] + board[-1] + "".join(line[0] + line[-1] for line in board)
    if set(edge) != {"#"}:
        raise ValueError("a board is closed by walls '#' on all four sides; this one has gaps")
    agents = "".join(board).count("A")
    if agents != 1:
        raise ValueError(f"a board has exactly one agent 'A'; got {agents}")
    return board
