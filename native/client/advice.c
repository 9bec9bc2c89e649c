/* advice.c: one sentence for each code (kcoro/kc_ipc.h). A test compares them with those of the Python clients, but for
 * KC_EINPROGRESS, which kc_remote.h gives a second meaning.
 */
#include "client/kc_client.h"

KC_API const char *kc_ipc_advice(int code)
{
    switch (code) {
    case KC_OK: return "done";
    case KC_ENOENT:
        return "there is no such channel; make it first, or open it with wait";
    case KC_EBADF:
        return "this handle is closed or was never opened; open the channel again";
    case KC_EAGAIN:
        return "nothing can be done at once; wait instead of trying, or try later";
    case KC_ENOMEM:
        return "no memory is left for this; receive what waits, or send smaller elements";
    case KC_EACCES:
        return "you lack the right to do this; ask the owner for a mode that allows it";
    case KC_EBUSY:
        return "another task or thread is using this; give each its own handle or client";
    case KC_EEXIST:
        return "a channel of that name exists and differs; open it as it is, or take another name";
    case KC_EINVAL:
        return "an argument is missing or not valid here; correct it and call again";
    case KC_ENOSPC:
        return "no room is left; receive what waits, or raise the limit";
    case KC_EPIPE:
        return "the channel is closed; open or make another";
    case KC_ENAMETOOLONG:
        return "the name is too long; use at most 255 bytes of UTF-8 (107 for a socket's path)";
    case KC_ENOSYS:
        return "the daemon does not know this command; upgrade the daemon";
    case KC_ETIME:
        return "the time was over before it happened, so it did not; allow more time or try again";
    case KC_EPROTO:
        return "bytes arrived that are not a valid frame; the connection ends, connect again";
    case KC_EMSGSIZE:
        return "the message is larger than allowed here; send it in parts, or raise elem_size";
    case KC_EPROTONOSUPPORT:
        return "the peer speaks another major version of the protocol; upgrade the older side";
    case KC_ENOTSUP:
        return "this kind of channel or connection cannot do that; choose another kind";
    case KC_ECONNRESET:
        return "the connection to the daemon is gone; connect again (a send under way is in doubt)";
    case KC_EINPROGRESS:
        return "it was taken and is not acknowledged yet, or the connection ended and it may have happened; "
               "do not repeat it";
    case KC_EDQUOT:
        return "a quota is used up; release something of that kind, or raise the setting";
    case KC_ECANCELED:
        return "the operation was cancelled before it happened; the reason says by what";
    default: return "the operation failed";
    }
}
