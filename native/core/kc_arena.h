/* kc_arena.h: one private mapping, cut into tables. Address space is reserved at full size; pages come with use, and a
 * page of zeros is a page of valid FREE records. */
#ifndef KC_ARENA_H
#define KC_ARENA_H

#include "kc_record.h"

/* KC_OK, KC_EINVAL (a table too large for its index bits), KC_ENOMEM. */
int kc_arena_map(kc_engine *engine, const kc_engine_config *config);
void kc_arena_unmap(kc_engine *engine);

#endif
