/* Runs a product: walks its positions in tiles and its channels in blocks.
 *
 * A tile is a run of positions in one row of the output, so that its source values stand evenly
 * apart. Rows that continue each other in source and output are joined first. Where rows are too short
 * to fill a tile, positions are taken from several rows and their terms gathered into a packed panel.
 */
#include "conv_product.h"

/* Rows shorter than this are gathered. */
enum { SHORT_ROW = TILE_ROWS / 2 - 1, SEGMENT_TILES = 8, TASK_POSITIONS = 256, HELD = 128 };

/* Terms whose weights are used for all held tiles before the next ones are: those of one chunk stay in the first cache.
 * A tile of wide registers computes so long on each weight that fetching them again costs nothing. */
enum { TERMS_AT_ONCE = TILE_VECTORS > 1 ? INT32_MAX / CHUNK * CHUNK : CHUNK };

static void join_rows(product *p) {
  int64_t *size = p->out.size + 2, *stride = p->out.stride + 2;
  for (int i = 1; i >= 0; i--) {
    if (size[i] == 1) continue;
    if (size[2] != 1 && (p->step[i] != size[2] * p->step[2] || stride[i] != size[2] * stride[2])) return;
    if (size[2] == 1) {
      p->step[2] = p->step[i];
      stride[2] = stride[i];
    }
    size[2] *= size[i];
    size[i] = 1;
  }
}

/* Divide the work on `images` images into units of positions. */
void conv_product_divide(product *p, int64_t images) {
  int64_t *size = p->out.size + 2;
  p->out.size[0] = images;
  if (p->planar) {
    conv_planar_divide(p, images);
    return;
  }
  join_rows(p);
  p->packed = size[2] < SHORT_ROW;
  if (p->packed) {
    p->units = ceil_div(images * volume(size), TILE_ROWS);
    p->share = MAX(1, TASK_POSITIONS / TILE_ROWS);
    return;
  }
  p->segments = ceil_div(tiles_in(size[2]), SEGMENT_TILES);
  p->units = images * size[0] * size[1] * p->segments;
  p->share = MAX(1, TASK_POSITIONS / ceil_div(size[2], p->segments));
}

/* Positions [start, start + rows) of the row whose first position is `at`. */
typedef struct {
  int64_t source, out;
} place;

static place row_place(const product *p, int64_t row) {
  const int64_t *size = p->out.size + 2, *stride = p->out.stride;
  int64_t h = row % size[1], d = row / size[1] % size[0], n = row / size[1] / size[0];
  return (place){n * p->each + d * p->step[0] + h * p->step[1], n * stride[0] + d * stride[2] + h * stride[3]};
}

/* Sums of one block that continue each other in the output, in `tiles` that are still to be computed or finished
 * already: written together, so that most of them are turned in whole squares. */
typedef struct {
  const product *p;
  int64_t block, at, held, tiles, rows[HELD];
  const float *source[HELD];
  float sum[HELD * TILE_VECTORS * LANES];
} results;

static void contract(results *r) {
  const product *p = r->p;
  const float *panel = p->panel + r->block * p->terms * p->lanes;
  int64_t step = p->step[2];
  if (!p->terms && r->tiles) memset(r->sum, 0, (size_t)(r->held * p->lanes) * sizeof *r->sum);
  for (int64_t k = 0; k < p->terms; k += TERMS_AT_ONCE) {
    int64_t terms = MIN(p->terms - k, TERMS_AT_ONCE);
    float *sum = r->sum;
    for (int64_t i = 0; i < r->tiles; sum += r->rows[i++] * p->lanes)
      conv_tile(r->rows[i], step, p->lanes)(r->source[i], step, p->offset + k, terms, panel + k * p->lanes, sum, k == 0);
  }
  r->tiles = 0;
}

static void flush(results *r) {
  const product *p = r->p;
  contract(r);
  int64_t group = r->block / p->blocks, first = r->block % p->blocks * p->lanes;
  int64_t at = r->at + (group * p->channels + first) * p->out.stride[1];
  if (p->bias)
    for (int64_t j = 0; j < p->lanes; j += LANES) {
      vf bias = f_load(p->bias + r->block * p->lanes + j);
      for (float *s = r->sum + j; s < r->sum + r->held * p->lanes; s += p->lanes) f_store(s, f_add(f_load(s), bias));
    }
  patch to = {element(&p->out, at), p->out.dtype, p->out.stride[4], p->out.stride[1]};
  conv_write(to, r->sum, p->lanes, r->held, MIN(p->lanes, p->channels - first));
  r->held = 0;
}

/* Where the sums of `rows` positions from `at` on are to go. */
static float *reserve(results *r, int64_t at, int64_t rows) {
  if (r->held && (r->held + rows > HELD || at != r->at + r->held * r->p->out.stride[4])) flush(r);
  if (!r->held) r->at = at;
  r->held += rows;
  return r->sum + (r->held - rows) * r->p->lanes;
}

static void run_segment(results *results, int64_t unit) {
  const product *p = results->p;
  int64_t width = p->out.size[4], tiles = tiles_in(width), segment = unit % p->segments, step = p->step[2];
  place row = row_place(p, unit / p->segments);
  const float *x = p->source + row.source + results->block / p->blocks * p->per_group;
  int64_t last = tile_start(tiles, p->segments, segment + 1);
  for (int64_t i = tile_start(tiles, p->segments, segment); i < last; i++) {
    int64_t start = tile_start(width, tiles, i), rows = tile_start(width, tiles, i + 1) - start;
    reserve(results, row.out + start * p->out.stride[4], rows);
    results->source[results->tiles] = x + start * step;
    results->rows[results->tiles++] = rows;
  }
}

/* The terms of up to a tile of positions, gathered from wherever their rows lie. */
typedef struct {
  int64_t rows, source[TILE_ROWS], out[TILE_ROWS];
} gathered;

static gathered find(const product *p, int64_t unit) {
  int64_t width = p->out.size[4], total = p->out.size[0] * volume(p->out.size + 2), first = unit * TILE_ROWS;
  gathered g = {.rows = MIN(TILE_ROWS, total - first)};
  for (int64_t r = 0; r < g.rows; r++) {
    place row = row_place(p, (first + r) / width);
    g.source[r] = row.source + (first + r) % width * p->step[2];
    g.out[r] = row.out + (first + r) % width * p->out.stride[4];
  }
  return g;
}

static void run_gathered(const product *p, int64_t unit, int64_t block, int64_t blocks, float *packed,
                         const int64_t *offset) {
  gathered g = find(p, unit);
  int64_t group = -1;
  for (int64_t b = block; b < block + blocks; b++) {
    if (b / p->blocks != group) {
      group = b / p->blocks;
      const float *x = p->source + group * p->per_group;
      for (int64_t k = 0; k < p->terms; k++)
        for (int64_t r = 0; r < g.rows; r++) packed[k * TILE_ROWS + r] = x[p->offset[k] + g.source[r]];
    }
    float sum[TILE_ROWS * TILE_VECTORS * LANES];
    if (p->terms)
      conv_tile(g.rows, 1, p->lanes)(packed, 1, offset, p->terms, p->panel + b * p->terms * p->lanes, sum, 1);
    else
      memset(sum, 0, sizeof sum);
    results results;
    results.p = p, results.block = b, results.held = results.tiles = 0;
    for (int64_t r = 0; r < g.rows; r++)
      memcpy(reserve(&results, g.out[r], 1), sum + r * p->lanes, (size_t)p->lanes * sizeof *sum);
    flush(&results);
  }
}

/* Units [unit, unit + units) times blocks [block, block + blocks); blocks count through all groups. */
int conv_product_run(const product *p, int64_t unit, int64_t units, int64_t block, int64_t blocks) {
  if (p->planar) {
    conv_planar_run(p, unit, units, block, blocks);
    return DONE;
  }
  if (!p->packed) {
    results results;
    results.p = p, results.held = results.tiles = 0;
    for (results.block = block; results.block < block + blocks; results.block++) {
      for (int64_t u = unit; u < unit + units; u++) run_segment(&results, u);
      flush(&results);
    }
    return DONE;
  }
  int64_t *offset = scratch(3, (size_t)p->terms * (sizeof(float) * TILE_ROWS + sizeof(int64_t)) + 64);
  if (!offset) return NO_MEMORY;
  for (int64_t k = 0; k < p->terms; k++) offset[k] = k * TILE_ROWS;
  for (int64_t u = unit; u < unit + units; u++)
    run_gathered(p, u, block, blocks, (float *)(offset + p->terms), offset);
  return DONE;
}
