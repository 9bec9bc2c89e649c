/* region_judge.c: whether a file may be a region: shared memory that nobody can shrink under a reader, and that only
 * the mapping its maker already has can write.
 *
 * memfd_create(2) and fcntl(2) F_ADD_SEALS are the source. A seal can never be taken off, so what is seen here stays:
 * F_SEAL_FUTURE_WRITE also forbids punching holes, so pages that are there stay there. No call here can block: of a
 * file that is no memfd the first one fails, and none takes the file's lock, as lseek(2) and ftruncate(2) do, for a
 * writer may hold it for ever. So only totals are compared, and as many pages behind the end as there are holes pass:
 * readers do not rely on it (docs/decisions/0016).
 */
#include "kcoro/kc_pump.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum { KC_STAT_BLOCK_BYTES = 512 /* st_blocks, stat(2) */, KC_HUGE_PAGE_BYTES = 2 << 20 };

static const char *kc_judge_seals(int seals)
{
    const char *why = NULL;
    if (seals < 0) {
        why = "it is no memfd: shared memory that can be sealed is";
    } else if ((seals & F_SEAL_SHRINK) == 0) {
        why = "it is not sealed against shrinking (F_SEAL_SHRINK)";
    } else if ((seals & F_SEAL_GROW) == 0) {
        why = "it is not sealed against growing (F_SEAL_GROW)";
    } else if ((seals & (F_SEAL_FUTURE_WRITE | F_SEAL_WRITE)) == 0) {
        why = "it is not sealed against new writers (F_SEAL_FUTURE_WRITE)";
    } else if ((seals & F_SEAL_SEAL) == 0) {
        why = "its seals are not sealed (F_SEAL_SEAL)";
    }
    return why;
}

/* Bytes a file of that size never has more: the rest of its last page, which may be a huge one (tmpfs(5)). */
static int64_t kc_judge_surplus(int64_t size_bytes)
{
    return size_bytes < KC_HUGE_PAGE_BYTES ? sysconf(_SC_PAGESIZE) : KC_HUGE_PAGE_BYTES;
}

static const char *kc_judge_memory(int file, uint64_t size_bytes)
{
    const char *why = NULL;
    struct statfs system;
    struct stat stat;
    if (fstatfs(file, &system) != 0 || system.f_type != TMPFS_MAGIC) {
        why = "it is not in tmpfs: huge pages are not taken";
    } else if (fstat(file, &stat) != 0 || (uint64_t)stat.st_size != size_bytes) {
        why = "its size is not what SIZE says"; /* all of it stays while the region does, so all of it is charged */
    } else if (stat.st_blocks * KC_STAT_BLOCK_BYTES < stat.st_size) { /* wherever: blocks do not say where */
        why = "it has holes: allocate it (posix_fallocate) before it is sealed";
    } else if (stat.st_blocks * KC_STAT_BLOCK_BYTES - stat.st_size >= kc_judge_surplus(stat.st_size)) {
        why = "it has pages behind its end, which may stand for holes before it";
    }
    return why;
}

int kc_region_judge(int32_t file, uint64_t size_bytes, const char **why_out)
{
    *why_out = kc_judge_seals(fcntl(file, F_GET_SEALS));
    if (*why_out == NULL && size_bytes == 0) {
        *why_out = "SIZE is 0";
    }
    if (*why_out == NULL) {
        *why_out = kc_judge_memory(file, size_bytes);
    }
    return *why_out == NULL ? KC_OK : KC_EINVAL;
}
