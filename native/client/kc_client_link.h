/* kc_client_link.h: lists whose links lie in what stands in them; nothing is allocated.
 *
 * Invariant: a link that stands nowhere is a list of its own.
 */
#ifndef KC_CLIENT_LINK_H
#define KC_CLIENT_LINK_H

#include <stdbool.h>
#include <stddef.h>

typedef struct kc_link {
    struct kc_link *next;
    struct kc_link *before;
} kc_link;

void kc_link_init(kc_link *head);
bool kc_link_empty(const kc_link *head);
void kc_link_append(kc_link *head, kc_link *link);
void kc_link_remove(kc_link *link); /* it is then a list of its own: removing twice does nothing */

#define KC_LINK_OWNER(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

#endif
