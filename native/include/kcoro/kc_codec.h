/* kc_codec.h: the frame reader of the daemon, for comparison with the definition of the wire.
 * Not needed to speak it. */
#ifndef KC_CODEC_H
#define KC_CODEC_H

#ifndef KC_CDEF
#include "kcoro/kc_types.h"
#ifdef __cplusplus
extern "C" {
#endif
#endif

/* The verdict of the hot reader on exactly one frame in bytes[0..n) of ABI 1.minor: KC_OK, KC_EPROTO (malformed, cut
 * short, or followed by more) or KC_EMSGSIZE (longer than the limit). */
KC_API int kc_codec_check(const uint8_t *bytes, size_t n, uint32_t minor);

/* What the reader understood, written again: known attributes in the order of arrival, shortest lengths, no critical
 * bits. At most as long as the input. Verdicts of kc_codec_check, and KC_ENOSPC; on failure *length_out is 0. */
KC_API int kc_codec_normalize(const uint8_t *bytes, size_t n, uint32_t minor, uint8_t *out, size_t out_bytes,
                              size_t *length_out);

/* The four words of the n bytes of a DESC's value, 0 for one that is not there; KC_EINVAL for a length that is none. */
KC_API int kc_codec_desc(const uint8_t *value, uint32_t n, uint64_t words_out[4]);

#ifndef KC_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
