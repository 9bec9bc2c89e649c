/* kc_region_peer.h: regions that the scripted daemon of kc_client_peer.h names to the client,
 * and those of the client. */
#ifndef KC_REGION_PEER_H
#define KC_REGION_PEER_H

#include <fcntl.h>
#include <sys/mman.h>

#include "kc_client_peer.h"

static inline int sealed_file(size_t bytes, char fill, int seals)
{
    int file = memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    KC_REQUIRE(file >= 0 && ftruncate(file, (off_t)bytes) == 0);
    for (size_t i = 0; i < bytes; i++) {
        KC_REQUIRE(pwrite(file, &fill, 1, (off_t)i) == 1);
    }
    KC_REQUIRE(fcntl(file, F_ADD_SEALS, seals) == 0);
    return file;
}

static inline int region_file(size_t bytes, char fill)
{
    return sealed_file(bytes, fill, F_SEAL_SHRINK);
}

/* The file is closed here; -1: the region comes without one. */
static inline void announce_file(peer *p, uint64_t region, uint64_t size, int file)
{
    kc_writer *out = peer_begin(p, KC_CMD_REGION_MAP, file >= 0 ? 1 : 0);
    kc_put_u64(out, KC_ATTR_REGION_ID, region);
    kc_put_u64(out, KC_ATTR_SIZE, size);
    p->files[0] = file;
    p->file_count = file >= 0 ? 1 : 0;
    peer_end(p);
    if (file >= 0) {
        close(file);
    }
}

static inline void announce(peer *p, uint64_t region, uint64_t size, char fill)
{
    announce_file(p, region, size, region_file(size, fill));
}

static inline void gone(peer *p, uint64_t region)
{
    kc_put_u64(peer_begin(p, KC_CMD_REGION_GONE, 0), KC_ATTR_REGION_ID, region);
    peer_end(p);
}

static inline void freed(peer *p, uint64_t region, uint64_t offset, uint64_t length)
{
    kc_put_desc(peer_begin(p, KC_CMD_REGION_FREED, 0), region, offset, length, 0);
    peer_end(p);
}

static inline kc_ipc_region *peer_region(peer *p, uint32_t req_id, uint64_t region, size_t bytes)
{
    kc_ipc_region *made = NULL;
    kc_put_u64(peer_reply(p, KC_CMD_REGION_ADD, req_id, KC_OK), KC_ATTR_REGION_ID, region);
    peer_end(p);
    KC_REQUIRE(kc_ipc_region_make(p->ipc, bytes, &made) == KC_OK);
    peer_expect(p, KC_CMD_REGION_ADD);
    return made;
}

#endif
