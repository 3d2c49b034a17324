/* EXIF orientation: reading it, and turning a picture by it.
 *
 * The structure is a TIFF file: "II*\0" or "MM\0*", the offset of the first directory, there a
 * count of 2 bytes and entries of 12: tag 2, type 2, count 4, value 4. Tag 0x0112 is the
 * orientation, type 3 (SHORT). The values (row 0, column 0 of the stored picture as it should be
 * seen):
 *
 *     1 top left     2 top right     3 bottom right     4 bottom left
 *     5 left top     6 right top     7 right bottom     8 left bottom
 *
 * Source: EXIF 2.32, 4.6.4; TIFF 6.0, section 2.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "document/image_internal.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define TYPE_LONG 4
#define ENTRY_BYTES 12u

int snug_exif_orientation(const unsigned char *data, size_t size)
{
    if (size >= 6 && memcmp(data, "Exif\0\0", 6) == 0) {
        data += 6;
        size -= 6;
    }
    if (size < 8)
        return 1;
    bool little = memcmp(data, "II*\0", 4) == 0;
    if (!little && memcmp(data, "MM\0*", 4) != 0)
        return 1;
    size_t directory = little ? snug_le32(data + 4) : snug_be32(data + 4);
    if (directory > size || size - directory < 2)
        return 1;
    const unsigned char *entry = data + directory + 2;
    size_t count = little ? snug_le16(data + directory) : snug_be16(data + directory);
    size_t room = (size - directory - 2) / ENTRY_BYTES;
    if (count > room)
        count = room;
    for (size_t i = 0; i < count; i++, entry += ENTRY_BYTES) {
        uint32_t tag = little ? snug_le16(entry) : snug_be16(entry);
        if (tag != TAG_ORIENTATION)
            continue;
        uint32_t type = little ? snug_le16(entry + 2) : snug_be16(entry + 2);
        uint32_t values = little ? snug_le32(entry + 4) : snug_be32(entry + 4);
        uint32_t value = 0;
        if (type == TYPE_SHORT)
            value = little ? snug_le16(entry + 8) : snug_be16(entry + 8);
        else if (type == TYPE_LONG)
            value = little ? snug_le32(entry + 8) : snug_be32(entry + 8);
        return values == 1 && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}
