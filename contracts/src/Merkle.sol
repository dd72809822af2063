// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.29;

/// Merkle trees over Keccak-256, as protocol/merkle.py builds them: a leaf is keccak(0x00 ‖ data),
/// a parent keccak(0x01 ‖ left ‖ right), an odd vertex rises unchanged.
library Merkle {
    uint256 internal constant LEAVES_MAX = 1 << 32;

    function leaf(bytes memory data) internal pure returns (bytes32) {
        return keccak256(bytes.concat(hex"00", data));
    }

    function parent(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return keccak256(bytes.concat(hex"01", left, right));
    }

    /// The root over hashed leaves; their memory is used up on the way.
    function root(bytes32[] memory level) internal pure returns (bytes32) {
        uint256 width = level.length;
        if (width == 0) return keccak256("");
        while (width > 1) {
            for (uint256 i = 0; i < width / 2; i++) {
                level[i] = parent(level[2 * i], level[2 * i + 1]);
            }
            if (width % 2 == 1) level[width / 2] = level[width - 1];
            width = (width + 1) / 2;
        }
        return level[0];
    }

    /// Whether a hashed leaf stands at `index` among `count` under `expected`.
    function verifyInclusion(
        bytes32 expected,
        bytes32 vertex,
        uint256 index,
        uint256 count,
        bytes32[] calldata siblings
    ) internal pure returns (bool) {
        if (count > LEAVES_MAX || index >= count) return false;
        uint256 used = 0;
        for (; count > 1; count = (count + 1) / 2) {
            if (index ^ 1 < count) {
                if (used == siblings.length) return false;
                bytes32 sibling = siblings[used++];
                vertex = index % 2 == 1 ? parent(sibling, vertex) : parent(vertex, sibling);
            }
            index /= 2;
        }
        return used == siblings.length && vertex == expected;
    }
}
