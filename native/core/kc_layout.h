/* kc_layout.h: how the compiler lays the engine's code out. Words only, nothing changes what code does.
 *
 * The operations of every message are compiled whole: all that they call is folded in, which saves a quarter of their
 * instructions. What stands beside the way of a plain message at a channel where nobody waits is kept apart, so that
 * the whole stays small and needs few registers.
 */
#ifndef KC_LAYOUT_H
#define KC_LAYOUT_H

#define KC_WHOLE __attribute__((flatten))
#define KC_PART static inline __attribute__((always_inline)) /* of every whole, whatever its size */
#define KC_APART __attribute__((noinline))
#define KC_RARE __attribute__((noinline, cold))

#endif
