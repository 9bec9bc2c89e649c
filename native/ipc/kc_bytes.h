/* kc_bytes.h: big-endian numbers in memory. No bounds are checked here: the caller has looked. */
#ifndef KC_BYTES_H
#define KC_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t kc_load_u16(const uint8_t *at)
{
    uint16_t raw;
    memcpy(&raw, at, sizeof raw);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    raw = __builtin_bswap16(raw);
#endif
    return raw;
}

static inline uint32_t kc_load_u32(const uint8_t *at)
{
    uint32_t raw;
    memcpy(&raw, at, sizeof raw);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    raw = __builtin_bswap32(raw);
#endif
    return raw;
}

static inline uint64_t kc_load_u64(const uint8_t *at)
{
    uint64_t raw;
    memcpy(&raw, at, sizeof raw);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    raw = __builtin_bswap64(raw);
#endif
    return raw;
}

static inline void kc_store_u16(uint8_t *at, uint16_t value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap16(value);
#endif
    memcpy(at, &value, sizeof value);
}

static inline void kc_store_u32(uint8_t *at, uint32_t value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    memcpy(at, &value, sizeof value);
}

static inline void kc_store_u64(uint8_t *at, uint64_t value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(at, &value, sizeof value);
}

#endif
