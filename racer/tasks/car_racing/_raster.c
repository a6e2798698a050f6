/* Draws quadrilaterals as pygame.gfxdraw does and reduces the picture as pygame.transform.smoothscale does.

   Byte for byte what aapolygon followed by filled_polygon leaves on a 32-bit canvas, reduced to 96 columns and 84 rows.
   Nothing of the canvas is kept but one row: all shapes are drawn on it, it is reduced, and the next row follows.

   A pixel is held as 64 bits, 16 for each of red, green and blue, so that sums of pixels are sums of numbers. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { WIDTH = 1000, HEIGHT = 800, FIRST = 100, COLUMNS = 96, ROWS = 84, CORNERS = 4 };
/* FIRST: the rows before it lie below the indicator bar. The canvas is upside down: its last row is the top one. */

enum { ONE = 1 << 14 };
/* One pixel in the arithmetic of the reduction. */

typedef uint64_t Pixel;

typedef struct {
    enum { NOTHING, LEVEL, PLUMB, STEEP, FLAT } kind; /* FLAT includes diagonals. */
    int x, y; /* Its upper end. */
    int low, high; /* Rows that it touches. */
    int way; /* -1 or 1: whether it goes down to the left or to the right. */
    int64_t length, step; /* Pixels along its longer side; how much the error grows with each, of 2**32. */
    int first_x, first_y; /* The opaque pixel that it is begun with, at either end. */
    int to; /* Last pixel of a level one, from x on, in either direction. */
} Edge;

typedef struct {
    int x[CORNERS], y[CORNERS];
    int low, high; /* Rows that the inside touches. */
    int touched_low, touched_high; /* Rows that it touches at all. */
    Edge edges[CORNERS];
    Pixel color;
} Shape;

static Pixel packed(const uint8_t *rgb) {
    return (Pixel)rgb[0] | (Pixel)rgb[1] << 16 | (Pixel)rgb[2] << 32;
}

/* --- A row --------------------------------------------------------------------------------------------------- */

enum { SPACE = ONE * WIDTH / COLUMNS };
/* How much of a row becomes a column. */

static int first_of[COLUMNS + 1]; /* Pixel that a column begins with, but for the part of the one before it. */
static int left_for[COLUMNS]; /* How much of its last pixel belongs to a column; the rest is the next one's. */
static uint8_t column_of[WIDTH];

static void make_columns(void) {
    int left = SPACE, x = 0;
    for (int column = 0; column < COLUMNS; column++) {
        first_of[column] = x;
        for (; left > ONE; left -= ONE) column_of[x++] = (uint8_t)column;
        column_of[x++] = (uint8_t)column;
        left_for[column] = left;
        left += SPACE - ONE;
    }
    first_of[COLUMNS] = x;
}

/* Most columns are of one colour, which is all that is kept of them then. */
typedef struct {
    Pixel pixels[WIDTH]; /* Of the columns that are not plain. */
    Pixel color[COLUMNS]; /* Of those that are. */
    uint8_t plain[COLUMNS];
} Row;

static void clear(Row *row, Pixel color) {
    memset(row->plain, 1, sizeof row->plain);
    for (int column = 0; column < COLUMNS; column++) row->color[column] = color;
}

/* Return a column's pixels, to be changed. */
static Pixel *opened(Row *row, int column) {
    if (row->plain[column]) {
        row->plain[column] = 0;
        for (int x = first_of[column]; x < first_of[column + 1]; x++) row->pixels[x] = row->color[column];
    }
    return row->pixels;
}

static void span(Row *row, int from, int to, Pixel color) {
    if (from > to) {
        int other = from;
        from = to, to = other;
    }
    if (from < 0) from = 0;
    if (to > WIDTH - 1) to = WIDTH - 1;
    if (from > to) return;
    /* Columns that are covered whole lie from `first` on, before `end`. */
    int first = column_of[from] + (from > first_of[column_of[from]]);
    int end = column_of[to] + (to == first_of[column_of[to] + 1] - 1);
    if (first > end) { /* Both ends lie within one. */
        Pixel *pixels = opened(row, end);
        for (int x = from; x <= to; x++) pixels[x] = color;
        return;
    }
    if (from < first_of[first]) {
        Pixel *pixels = opened(row, first - 1);
        for (int x = from; x < first_of[first]; x++) pixels[x] = color;
    }
    if (to >= first_of[end]) {
        Pixel *pixels = opened(row, end);
        for (int x = first_of[end]; x <= to; x++) pixels[x] = color;
    }
    for (int column = first; column < end; column++) row->plain[column] = 1, row->color[column] = color;
}

static void blend(Row *row, int x, Pixel color, int weight) {
    if (x < 0 || x >= WIDTH) return;
    Pixel *pixel = opened(row, column_of[x]) + x, mixed = 0;
    int alpha = (255 * weight) >> 8;
    for (int shift = 0; shift < 48; shift += 16) {
        int old = (int)(*pixel >> shift & 0xFF), new = (int)(color >> shift & 0xFF);
        mixed |= (Pixel)((old + (((new - old) * alpha) >> 8)) & 0xFF) << shift;
    }
    *pixel = mixed;
}

/* --- Edges --------------------------------------------------------------------------------------------------- */

enum { LEFT = 1, RIGHT = 2, BELOW = 4, ABOVE = 8 };

static int side_of(int x, int y) {
    return (x < 0 ? LEFT : x > WIDTH - 1 ? RIGHT : 0) | (y < 0 ? ABOVE : y > HEIGHT - 1 ? BELOW : 0);
}

/* Cut a line off at the canvas's sides, bending it a little as pygame does. Return whether anything is left. */
static int clip(int16_t *x1, int16_t *y1, int16_t *x2, int16_t *y2) {
    for (;;) {
        int first = side_of(*x1, *y1), second = side_of(*x2, *y2);
        if (!(first | second)) return 1;
        if (first & second) return 0;
        if (!first) {
            int16_t x = *x1, y = *y1;
            *x1 = *x2, *y1 = *y2, *x2 = x, *y2 = y;
            first = second;
        }
        float slope = *x2 != *x1 ? (float)(*y2 - *y1) / (float)(*x2 - *x1) : 1.0f;
        if (first & LEFT) {
            *y1 += (int16_t)((0 - *x1) * slope);
            *x1 = 0;
        } else if (first & RIGHT) {
            *y1 += (int16_t)((WIDTH - 1 - *x1) * slope);
            *x1 = WIDTH - 1;
        } else {
            int row = first & BELOW ? HEIGHT - 1 : 0;
            if (*x2 != *x1) *x1 += (int16_t)((row - *y1) / slope);
            *y1 = (int16_t)row;
        }
    }
}

static void make_edge(Edge *edge, int x_begin, int y_begin, int x_end, int y_end) {
    int16_t x1 = (int16_t)x_begin, y1 = (int16_t)y_begin, x2 = (int16_t)x_end, y2 = (int16_t)y_end;
    edge->kind = NOTHING;
    edge->low = HEIGHT, edge->high = -1;
    if (!clip(&x1, &y1, &x2, &y2)) return;
    edge->first_x = x1, edge->first_y = y1;
    int swapped = y1 > y2;
    edge->x = swapped ? x2 : x1, edge->y = swapped ? y2 : y1;
    edge->to = swapped ? x1 : x2;
    int across = edge->to - edge->x, down = (swapped ? y1 : y2) - edge->y;
    edge->way = across >= 0 ? 1 : -1;
    across *= edge->way;
    edge->low = edge->y, edge->high = edge->y + down;
    if (across == 0) {
        edge->kind = PLUMB;
    } else if (down == 0) {
        edge->kind = LEVEL;
    } else {
        edge->kind = down > across ? STEEP : FLAT;
        edge->length = edge->kind == STEEP ? down : across;
        edge->step = (uint32_t)((((edge->kind == STEEP ? across : down) << 16) / edge->length) << 16);
        edge->high += edge->kind == FLAT; /* Its pixels come in pairs, one below the other. */
    }
}

/* Pixels 1 <= k < length of a flat edge whose row lies `lower` rows below its first one, at their full or their
   complementary weight. */
static void flat_run(Row *row, const Edge *edge, Pixel color, int64_t lower, int complementary) {
    if (lower < 0) return;
    int64_t first = 1, end = edge->length;
    if (edge->step) {
        /* The error has turned over `lower` times after so many pixels, and not once more. */
        int64_t begin = ((lower << 32) + edge->step - 1) / edge->step;
        int64_t after = (((lower + 1) << 32) + edge->step - 1) / edge->step;
        if (begin > first) first = begin;
        if (after < end) end = after;
    } else { /* A diagonal: the error turns over at every pixel. */
        if (lower < first || lower >= end) return;
        first = lower, end = lower + 1;
    }
    uint32_t error = (uint32_t)(first * edge->step);
    for (int64_t k = first; k < end; k++, error += (uint32_t)edge->step) {
        int weight = (int)(error >> 24);
        blend(row, edge->x + (int)k * edge->way, color, complementary ? 255 - weight : weight);
    }
}

static void draw_edge(Row *row, int y, const Edge *edge, Pixel color) {
    if (y < edge->low || y > edge->high) return;
    if (edge->kind == PLUMB || edge->kind == LEVEL) {
        span(row, edge->x, edge->to, color);
        return;
    }
    if (y == edge->first_y) span(row, edge->first_x, edge->first_x, color);
    int64_t below = y - edge->y;
    if (edge->kind == FLAT) {
        flat_run(row, edge, color, below, 1);
        flat_run(row, edge, color, below - 1, 0);
    } else if (below >= 1 && below < edge->length) {
        int64_t error = below * edge->step;
        int x = edge->x + (int)(error >> 32) * edge->way, weight = (int)((uint32_t)error >> 24);
        blend(row, x, color, 255 - weight);
        blend(row, x + edge->way, color, weight);
    }
}

/* --- Shapes -------------------------------------------------------------------------------------------------- */

typedef struct {
    double cosine, sine, zoom, x, y; /* Of the turn; pixels per unit of the world; the world's origin, pixels. */
} Camera;

enum { MARGIN = 4, FARTHEST = 30000 };
/* Pixels by which an outline may spill over its shape; beyond which a corner is no 16-bit number with room to spare. */

/* Return whether a shape of the world may be seen; where it may, it is ready to be drawn. One with a corner that is no
   number, or far beyond anything a game has, is not. */
static int make_shape(Shape *shape, const double *corners, const uint8_t *rgb, const Camera *camera) {
    double columns[CORNERS], rows[CORNERS];
    int left = 1, right = 1, below = 1, above = 1; /* Whether all corners lie there. */
    for (int i = 0; i < CORNERS; i++) {
        double x = corners[2 * i], y = corners[2 * i + 1];
        columns[i] = (camera->cosine * x - camera->sine * y) * camera->zoom + camera->x;
        rows[i] = (camera->sine * x + camera->cosine * y) * camera->zoom + camera->y;
        if (!(columns[i] > -FARTHEST && columns[i] < FARTHEST && rows[i] > -FARTHEST && rows[i] < FARTHEST)) return 0;
        left &= !(columns[i] > -MARGIN), right &= !(columns[i] < WIDTH + MARGIN);
        above &= !(rows[i] > FIRST - MARGIN), below &= !(rows[i] < HEIGHT + MARGIN);
    }
    if (left || right || above || below) return 0;
    shape->color = packed(rgb);
    shape->low = INT32_MAX, shape->high = INT32_MIN;
    for (int i = 0; i < CORNERS; i++) {
        shape->x[i] = (int16_t)columns[i], shape->y[i] = (int16_t)rows[i];
        if (shape->y[i] < shape->low) shape->low = shape->y[i];
        if (shape->y[i] > shape->high) shape->high = shape->y[i];
    }
    shape->touched_low = shape->low, shape->touched_high = shape->high;
    for (int i = 0; i < CORNERS; i++) {
        int j = (i + 1) % CORNERS;
        Edge *edge = shape->edges + i;
        make_edge(edge, shape->x[i], shape->y[i], shape->x[j], shape->y[j]);
        if (edge->low < shape->touched_low) shape->touched_low = edge->low;
        if (edge->high > shape->touched_high) shape->touched_high = edge->high;
    }
    return 1;
}

static void draw_inside(Row *row, int y, const Shape *shape) {
    int32_t crossings[CORNERS];
    int count = 0;
    if (y < shape->low || y > shape->high) return;
    for (int i = 0; i < CORNERS; i++) {
        int before = (i + CORNERS - 1) % CORNERS;
        int upper = shape->y[before] < shape->y[i] ? before : i, lower = upper == i ? before : i;
        int y1 = shape->y[upper], y2 = shape->y[lower];
        if (y1 == y2 || !((y >= y1 && y < y2) || (y == shape->high && y > y1 && y <= y2))) continue;
        uint32_t part = (uint32_t)((65536 * (y - y1)) / (y2 - y1));
        int32_t x = (int32_t)(part * (uint32_t)(shape->x[lower] - shape->x[upper]) + 65536u * (uint32_t)shape->x[upper]);
        int place = count++;
        while (place > 0 && crossings[place - 1] > x) crossings[place] = crossings[place - 1], place--;
        crossings[place] = x;
    }
    for (int i = 0; i + 1 < count; i += 2) {
        int32_t from = crossings[i] + 1, to = crossings[i + 1] - 1;
        span(row, (from >> 16) + ((from & 32768) >> 15), (to >> 16) + ((to & 32768) >> 15), shape->color);
    }
}

/* --- Reduction ----------------------------------------------------------------------------------------------- */

static inline Pixel share(Pixel pixel, int part) {
    Pixel shared = 0;
    for (int shift = 0; shift < 48; shift += 16)
        shared |= (Pixel)((((int)(pixel >> shift & 0xFF) << 2) * part) >> 16) << shift;
    return shared;
}

static inline Pixel mean(Pixel sum, int reciprocal) {
    Pixel whole = 0;
    for (int shift = 0; shift < 48; shift += 16)
        whole |= (Pixel)(((uint32_t)(sum >> shift & 0xFFFF) * (uint32_t)reciprocal) >> 16 & 0xFF) << shift;
    return whole;
}

/* The columns of a row, and what they were made of: most rows are, for the most part, like the one before. */
typedef struct {
    Pixel columns[COLUMNS];
    Pixel inner[COLUMNS], before[COLUMNS], after[COLUMNS]; /* Whole pixels; those that columns share. */
} Narrow;

static void narrow(const Row *row, Narrow *state) {
    Pixel before = 0;
    for (int column = 0; column < COLUMNS; column++) {
        int first = first_of[column], last = first_of[column + 1] - 1;
        Pixel inner = 0, after;
        if (row->plain[column]) {
            after = row->color[column];
            inner = after * (Pixel)(last - first);
        } else {
            for (int x = first; x < last; x++) inner += row->pixels[x];
            after = row->pixels[last];
        }
        if (inner != state->inner[column] || before != state->before[column] || after != state->after[column]) {
            state->inner[column] = inner, state->before[column] = before, state->after[column] = after;
            if (column) inner += share(before, ONE - left_for[column - 1]);
            state->columns[column] = mean(inner + share(after, left_for[column]), (ONE << 16) / SPACE);
        }
        before = after;
    }
}

typedef struct {
    int left, row;
    Pixel sums[COLUMNS];
} Shorter;

static void shorten(Shorter *state, const Pixel *columns, uint8_t *out) {
    const int space = ONE * (HEIGHT - FIRST) / ROWS, reciprocal = (ONE << 16) / space;
    if (state->left > ONE) {
        for (int column = 0; column < COLUMNS; column++) state->sums[column] += columns[column];
        state->left -= ONE;
        return;
    }
    uint8_t *place = out + 3 * COLUMNS * state->row++;
    for (int column = 0; column < COLUMNS; column++, place += 3) {
        Pixel pixel = mean(state->sums[column] + share(columns[column], state->left), reciprocal);
        place[0] = (uint8_t)pixel, place[1] = (uint8_t)(pixel >> 16), place[2] = (uint8_t)(pixel >> 32);
        state->sums[column] = share(columns[column], ONE - state->left);
    }
    state->left += space - ONE;
}

/* --- The picture --------------------------------------------------------------------------------------------- */

typedef struct {
    const uint32_t *pixels; /* HEIGHT rows of WIDTH: red 16, green 8, blue 0 bits up; opaque where above 0 24 bits up. */
    int left, top, right, bottom; /* What of it may be opaque. */
} Overlay;

static void draw(uint8_t *out, Pixel background, const Shape *shapes, Py_ssize_t count, const Overlay *overlay) {
    Row row;
    Narrow narrowed;
    Shorter state = {ONE * (HEIGHT - FIRST) / ROWS, 0, {0}};
    memset(&narrowed, 0xFF, sizeof narrowed); /* Like no row. */
    for (int y = HEIGHT - 1; y >= FIRST; y--) {
        clear(&row, background);
        for (Py_ssize_t i = 0; i < count; i++) {
            const Shape *shape = shapes + i;
            if (y < shape->touched_low || y > shape->touched_high) continue;
            for (int edge = 0; edge < CORNERS; edge++) draw_edge(&row, y, shape->edges + edge, shape->color);
            draw_inside(&row, y, shape);
        }
        if (y >= overlay->top && y < overlay->bottom) {
            const uint32_t *above = overlay->pixels + (size_t)y * WIDTH;
            for (int x = overlay->left; x < overlay->right; x++)
                if (above[x] >> 24)
                    opened(&row, column_of[x])[x] = (Pixel)(above[x] >> 16 & 0xFF) |
                                                    (Pixel)(above[x] >> 8 & 0xFF) << 16 | (Pixel)(above[x] & 0xFF) << 32;
        }
        narrow(&row, &narrowed);
        shorten(&state, narrowed.columns, out);
    }
}

static int wants(const Py_buffer *buffer, Py_ssize_t bytes, const char *name) {
    if (buffer->len == bytes) return 1;
    PyErr_Format(PyExc_ValueError, "%s must have %zd bytes; got %zd", name, bytes, buffer->len);
    return 0;
}

static PyObject *scene(PyObject *module, PyObject *arguments) {
    Py_buffer out, background, corners, colors, above;
    Camera camera;
    Overlay overlay;
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "w*y*y*y*(ddddd)y*(iiii):scene", &out, &background, &corners, &colors,
                          &camera.cosine, &camera.sine, &camera.zoom, &camera.x, &camera.y, &above, &overlay.left, &overlay.top, &overlay.right, &overlay.bottom))
        return NULL;
    Py_ssize_t count = colors.len / 3;
    if (wants(&out, 3 * COLUMNS * ROWS, "out") && wants(&background, 3, "background") &&
        wants(&colors, 3 * count, "colors") &&
        wants(&corners, (Py_ssize_t)sizeof(double) * 2 * CORNERS * count, "corners") &&
        wants(&above, 4 * WIDTH * HEIGHT, "above")) {
        if (overlay.left < 0 || overlay.top < 0 || overlay.right > WIDTH || overlay.bottom > HEIGHT) {
            PyErr_SetString(PyExc_ValueError, "what is above lies beyond the canvas");
        } else {
            Shape *shapes = PyMem_Malloc(sizeof(Shape) * (size_t)(count ? count : 1));
            if (shapes == NULL) {
                PyErr_NoMemory();
            } else {
                overlay.pixels = above.buf;
                Py_BEGIN_ALLOW_THREADS;
                Py_ssize_t seen = 0;
                for (Py_ssize_t i = 0; i < count; i++)
                    seen += make_shape(shapes + seen, (const double *)corners.buf + 2 * CORNERS * i,
                                       (const uint8_t *)colors.buf + 3 * i, &camera);
                draw(out.buf, packed(background.buf), shapes, seen, &overlay);
                Py_END_ALLOW_THREADS;
                PyMem_Free(shapes);
                result = Py_NewRef(Py_None);
            }
        }
    }
    PyBuffer_Release(&out);
    PyBuffer_Release(&background);
    PyBuffer_Release(&corners);
    PyBuffer_Release(&colors);
    PyBuffer_Release(&above);
    return result;
}

static PyMethodDef methods[] = {
    {"scene", scene, METH_VARARGS,
     "scene(out, background, corners, colors, camera, above, box)\n\n"
     "Draw what is seen above the indicator bar into out, uint8[84, 96, 3]: background, uint8[3]; on it shapes,\n"
     "corners float64[N, 4, 2] in the world and colors uint8[N, 3], as the camera (cosine and sine of its turn, zoom,\n"
     "column and row of the world's origin) sees them; on them what is opaque of above, uint32[800, 1000], within the\n"
     "box (left, top, right, bottom), pixels. The interpreter's lock is released."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_raster", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__raster(void) {
    make_columns();
    return PyModule_Create(&definition);
}
